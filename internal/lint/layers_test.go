package lint

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

const module = "github.com/seed-2e7ecdea/mp"

// A layer is a package and the packages of mp that it may import. The name may
// be a pattern of path.Match.
type layer struct {
	name    string
	imports []string
}

// layers lists the packages from the top to the bottom. A package imports
// only what stands below it, and of that only what is named here. To add an edge
// deliberately, add it here.
//
// A test in its package (package p) is bound like the package, but for
// helpers; a test from outside (package p_test) may import anything.
var layers = []layer{
	{"cmd/mpbench", []string{"bench", "proc", "shm"}},
	{"bench", []string{"proc", "ring", "sync", "shm", "futex", "internal/sys"}},
	{"examples/frompython/*", []string{"."}},
	{"examples/*", []string{".", "proc", "ring", "array", "value", "sync", "shm", "futex"}},
	{".", []string{"proc", "ring", "array", "value", "sync"}},
	{"internal/mixed", []string{"ring", "array", "value", "sync", "shm"}},
	{"internal/early", []string{"internal/early/aaa", "proc", "sync"}},
	{"internal/early/aaa", nil},
	{"internal/testkit", []string{
		"proc", "shm", "internal/object", "futex", "internal/sys", "internal/crash", "internal/view", "internal/leak",
	}},
	{"proc", []string{"shm", "internal/object", "internal/known", "internal/sys", "internal/crash"}},
	{"ring", []string{
		"shm", "internal/object", "internal/known", "internal/robust", "internal/party", "internal/wait", "futex", "internal/fence",
		"internal/cpu", "internal/crash", "internal/layout", "internal/view",
	}},
	{"array", []string{
		"sync", "shm", "internal/known", "internal/lock", "internal/object", "internal/crash", "internal/layout", "internal/view",
	}},
	{"value", []string{
		"sync", "shm", "internal/lock", "internal/object", "internal/wait", "futex", "internal/fence",
		"internal/crash", "internal/layout", "internal/view",
	}},
	{"sync", []string{
		"shm", "internal/known", "internal/lock", "internal/object", "internal/robust", "internal/party", "internal/wait", "futex",
		"internal/crash", "internal/view",
	}},
	{"internal/lock", []string{"shm", "internal/object", "internal/robust", "internal/party", "internal/view"}},
	{"internal/object", []string{"shm", "internal/wait"}},
	{"shm", []string{
		"internal/robust", "internal/party", "internal/wait", "internal/fence", "internal/sys",
		"internal/crash", "internal/layout", "internal/view",
	}},
	{"internal/robust", []string{"internal/party", "internal/wait", "futex", "internal/fence", "internal/crash"}},
	{"internal/party", []string{"futex", "internal/sys", "internal/crash"}},
	{"internal/wait", []string{"futex", "internal/fence", "internal/sys", "internal/cpu"}},
	{"futex", []string{"internal/sys"}},
	{"internal/fence", []string{"internal/sys"}},
	{"internal/sys", nil},
	{"internal/known", nil},
	{"internal/cpu", nil},
	{"internal/crash", nil},
	{"internal/layout", nil},
	{"internal/view", nil},
	{"internal/leak", nil},
	{"internal/lint", nil},
	{"internal/history", nil},
	{"internal/model", nil},
}

// helpers are packages for tests: any test may import them, and nothing else.
var helpers = []string{"internal/leak", "internal/testkit"}

// layerOf returns the index of the layer of a package, -1 if there is none.
func layerOf(layers []layer, pkg string) int {
	return slices.IndexFunc(layers, func(l layer) bool {
		ok, err := path.Match(l.name, pkg)
		return ok && err == nil
	})
}

// ownImport returns the package of mp that p is the path of, relative to the
// module: "." for the root.
func ownImport(p string) (string, bool) {
	if p == module {
		return ".", true
	}
	return strings.CutPrefix(p, module+"/")
}

// checkLayers checks the list itself: edges go down.
func checkLayers(layers []layer) (problems []string) {
	for i, l := range layers {
		for _, to := range l.imports {
			switch j := layerOf(layers, to); {
			case j < 0:
				problems = append(problems, fmt.Sprintf("layers_test.go: %s may import %s, which is not listed", l.name, to))
			case j <= i:
				problems = append(problems, fmt.Sprintf("layers_test.go: %s may import %s, which does not stand below it", l.name, to))
			}
		}
	}
	return problems
}

// checkEdges is the rule for mp's own packages.
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
				"%s: %s imports %s: a new edge; if it should be, add it to layers in internal/lint/layers_test.go",
				f.at(imp.spec), f.pkg(), to))
		}
	}
	return problems
}
