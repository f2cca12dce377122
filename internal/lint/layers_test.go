package lint

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

const module = "github.com/seed-2e7ecdea/mp"

// A layer names a package, or several by a pattern of path.Match, and lists the packages of mp that it may import.
type layer struct {
	name    string
	imports []string
}

// layers lists the packages from the top to the bottom. A package may import
// only packages below it, and of these only those that are listed for it. To allow another import,
// add it here.
//
// A test in package p may import what p may import, and helpers. A test in package p_test may import anything.
var layers = []layer{
	{"cmd/mpbench", []string{"bench", "proc", "ring", "shm", "internal/sys"}},
	{"bench/peers/*", []string{"bench", "proc"}},
	{"bench", []string{"proc", "ring", "array", "value", "sync", "shm", "internal/cpu", "internal/fence", "internal/sys", "internal/view"}},
	{"examples/frompython/sharedmemory", []string{".", "array", "shm"}},
	{"examples/frompython/*", []string{"."}},
	{"examples/*", []string{".", "poll", "proc/manager", "proc", "ring", "array", "value", "sync", "shm", "futex"}},
	{"cluster/examples/*", []string{".", "cluster"}},
	{"cluster", []string{"proc", "ring", "sync", "poll", "shm", "internal/relay"}},
	{"netconn/nettest", []string{"netconn", "ring", "shm"}},
	{"netconn", []string{"ring"}},
	{".", []string{"proc/manager", "proc", "ring", "array", "value", "sync", "poll"}},
	{"internal/mixed", []string{"ring", "array", "value", "sync", "shm"}},
	{"internal/early", []string{"internal/early/aaa", "proc", "sync"}},
	{"internal/early/aaa", nil},
	{"internal/step", []string{"proc", "shm", "internal/sys", "internal/testkit"}},
	{"internal/testkit", []string{
		"proc", "shm", "internal/object", "futex", "internal/sys", "internal/crash", "internal/view", "internal/leak",
	}},
	{"proc/manager/testdata/client", []string{"proc/manager", "proc/connection"}},
	{"proc/manager", []string{"proc", "proc/connection", "ring", "sync", "shm", "internal/codec", "internal/known"}},
	{"proc/connection", []string{"ring", "shm", "internal/object", "internal/known", "internal/sys", "internal/crash", "internal/codec"}},
	{"proc", []string{
		"ring", "shm", "poll", "internal/object", "internal/known", "internal/wait", "internal/sys", "internal/crash",
		"internal/codec", "internal/relay",
	}},
	{"ring", []string{
		"shm", "poll", "internal/object", "internal/known", "internal/robust", "internal/party", "internal/wait", "futex", "internal/fence",
		"internal/cpu", "internal/crash", "internal/layout", "internal/tear", "internal/view", "internal/codec",
	}},
	{"array", []string{
		"sync", "shm", "internal/known", "internal/lock", "internal/object", "internal/crash", "internal/layout", "internal/view",
	}},
	{"value", []string{
		"sync", "shm", "poll", "internal/lock", "internal/object", "internal/wait", "futex", "internal/fence",
		"internal/crash", "internal/layout", "internal/tear", "internal/view",
	}},
	{"sync", []string{
		"shm", "poll", "internal/known", "internal/lock", "internal/object", "internal/robust", "internal/party", "internal/wait", "futex",
		"internal/crash", "internal/view",
	}},
	{"poll", []string{"internal/known", "internal/wait"}},
	{"internal/lock", []string{"shm", "internal/object", "internal/robust", "internal/party", "internal/view"}},
	{"internal/object", []string{"shm", "internal/inner", "internal/party", "internal/wait"}},
	{"shm", []string{
		"internal/inner",
		"internal/robust", "internal/party", "internal/wait", "internal/fence", "internal/sys",
		"internal/crash", "internal/layout", "internal/view",
	}},
	{"internal/robust", []string{"internal/party", "internal/wait", "futex", "internal/fence", "internal/crash"}},
	{"internal/party", []string{"futex", "internal/sys", "internal/crash", "internal/look"}},
	{"internal/wait", []string{"futex", "internal/fence", "internal/sys", "internal/cpu", "internal/look"}},
	{"futex", []string{"internal/sys"}},
	{"internal/fence", []string{"internal/sys"}},
	{"internal/sys", nil},
	{"internal/inner", nil},
	{"internal/codec", []string{"internal/known", "internal/layout"}},
	{"internal/known", nil},
	{"internal/relay", nil},
	{"internal/cpu", nil},
	{"internal/crash", nil},
	{"internal/look", nil},
	{"internal/tear", []string{"internal/view"}},
	{"internal/layout", nil},
	{"internal/view", nil},
	{"internal/clientlayout", nil},
	{"internal/leak", nil},
	{"internal/lint", nil},
	{"internal/history", nil},
	{"internal/model", nil},
	{"internal/litmus", nil},
}

// helpers are packages that every test may import. No other file may import them unless its layer lists them.
var helpers = []string{"internal/leak", "internal/testkit", "internal/clientlayout"}

// layerOf returns the index of the layer of a package, -1 if there is none.
func layerOf(layers []layer, pkg string) int {
	return slices.IndexFunc(layers, func(l layer) bool {
		ok, err := path.Match(l.name, pkg)
		return ok && err == nil
	})
}

// ownImport returns the path of a package of mp relative to the
// module, "." for the root. It returns false if p is not a package of mp.
func ownImport(p string) (string, bool) {
	if p == module {
		return ".", true
	}
	return strings.CutPrefix(p, module+"/")
}

// checkLayers reports imports in the list that do not lead to a lower layer.
func checkLayers(layers []layer) (problems []string) {
	for i, l := range layers {
		for _, to := range l.imports {
			switch j := layerOf(layers, to); {
			case j < 0:
				problems = append(problems, fmt.Sprintf("layers_test.go: %s may import %s, which is not listed", l.name, to))
			case j <= i:
				problems = append(problems, fmt.Sprintf("layers_test.go: %s may import %s, which is not below it", l.name, to))
			}
		}
	}
	return problems
}

// checkEdges reports imports of packages of mp that layers does not list.
func checkEdges(f *file) (problems []string) {
	if f.external() {
		return nil
	}
	i := layerOf(layers, f.pkg())
	if i < 0 {
		return []string{fmt.Sprintf("%s: package %s has no layer: list it in internal/lint/layers_test.go", f.path, f.pkg())}
	}
	for _, imp := range f.imports() {
		to, ok := ownImport(imp.path)
		if ok && !slices.Contains(layers[i].imports, to) && !(f.test() && slices.Contains(helpers, to)) {
			problems = append(problems, fmt.Sprintf(
				"%s: %s imports %s, which is not listed for it: to allow that, add it to layers in internal/lint/layers_test.go",
				f.at(imp.spec), f.pkg(), to))
		}
	}
	return problems
}
