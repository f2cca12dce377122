package lint

import (
	"fmt"
	"go/ast"
	"path"
	"slices"
	"strings"
)

// requirements are the modules that go.mod may, and must, require directly.
var requirements = []string{
	"github.com/HdrHistogram/hdrhistogram-go",
	"github.com/anishathalye/porcupine",
	"github.com/edsrzf/mmap-go",
	"github.com/google/go-cmp",
	"golang.org/x/perf",
	"golang.org/x/sys",
}

// mayUse reports whether a file may import packages of a required module.
func mayUse(f *file, module string) bool {
	switch module {
	case "golang.org/x/sys", "github.com/edsrzf/mmap-go":
		return true
	case "github.com/google/go-cmp":
		return f.test()
	case "github.com/anishathalye/porcupine":
		return f.test() && f.pkg() == "internal/history"
	case "github.com/HdrHistogram/hdrhistogram-go":
		return f.pkg() == "bench" || f.pkg() == "cmd/mpbench"
	case "golang.org/x/perf":
		return f.pkg() == "cmd/mpbench"
	}
	return false
}

// nested lists the modules of their own and the packages of other modules that they may import, with all below them.
var nested = []struct{ dir, may string }{
	{"netconn/nettest", "golang.org/x/net/nettest"}, // for a test
	{"cluster", "github.com/nats-io"},
	{"bench/peers", "github.com/go-zeromq/zmq4"},
	{"bench/peers", "google.golang.org/grpc"},
	{"bench/peers", "google.golang.org/protobuf"},
}

// checkModules reports imports of packages of other modules that are not allowed.
func checkModules(f *file) (problems []string) {
	for _, imp := range f.imports() {
		first, _, _ := strings.Cut(imp.path, "/")
		if !strings.Contains(first, ".") || imp.path == module || strings.HasPrefix(imp.path, module+"/") {
			continue
		}
		if inNested(f, imp.path) {
			continue
		}
		i := slices.IndexFunc(requirements, func(m string) bool {
			return imp.path == m || strings.HasPrefix(imp.path, m+"/")
		})
		if i < 0 || !mayUse(f, requirements[i]) {
			problems = append(problems, fmt.Sprintf(
				"%s: %s may not be imported here: internal/lint/modules_test.go says what may", f.at(imp.spec), imp.path))
		}
	}
	return problems
}

// inNested reports whether f belongs to a module of its own that may import the package.
func inNested(f *file, pkg string) bool {
	for _, n := range nested {
		if strings.HasPrefix(f.path, n.dir+"/") && (pkg == n.may || strings.HasPrefix(pkg, n.may+"/")) {
			return true
		}
	}
	return false
}

// checkRequirements reports differences between the modules that go.mod requires directly and requirements.
func checkRequirements(mod string) (problems []string) {
	var direct []string
	block := false
	for line := range strings.Lines(mod) {
		line, comment, _ := strings.Cut(strings.TrimSpace(line), "//")
		fields := strings.Fields(line)
		switch {
		case len(fields) == 2 && fields[0] == "require" && fields[1] == "(":
			block = true
			continue
		case len(fields) == 1 && fields[0] == ")":
			block = false
		case len(fields) == 3 && fields[0] == "require":
			fields = fields[1:]
		case !block:
			continue
		}
		if len(fields) == 2 && strings.TrimSpace(comment) != "indirect" {
			direct = append(direct, fields[0])
		}
	}
	for _, m := range direct {
		if !slices.Contains(requirements, m) {
			problems = append(problems, fmt.Sprintf("go.mod requires %s, which is not in internal/lint/modules_test.go", m))
		}
	}
	for _, m := range requirements {
		if !slices.Contains(direct, m) {
			problems = append(problems, fmt.Sprintf("go.mod does not require %s, which is in internal/lint/modules_test.go", m))
		}
	}
	return problems
}

// checkUnsafe reports imports of unsafe in files whose name does not say so.
func checkUnsafe(f *file) (problems []string) {
	name := path.Base(f.path)
	if strings.HasSuffix(name, "_unsafe.go") || strings.HasSuffix(name, "_unsafe_test.go") {
		return nil
	}
	for _, imp := range f.imports() {
		if imp.path == "unsafe" {
			problems = append(problems, fmt.Sprintf("%s: unsafe is imported only in files named *_unsafe.go or *_unsafe_test.go", f.at(imp.spec)))
		}
	}
	return problems
}

// checkUnix reports imports of golang.org/x/sys/unix outside internal/sys.
func checkUnix(f *file) (problems []string) {
	for _, imp := range f.imports() {
		if imp.path == "golang.org/x/sys/unix" && f.pkg() != "internal/sys" {
			problems = append(problems, fmt.Sprintf("%s: golang.org/x/sys/unix is imported only in internal/sys", f.at(imp.spec)))
		}
	}
	return problems
}

// checkCgo reports uses of cgo.
func checkCgo(f *file) (problems []string) {
	for _, imp := range f.imports() {
		if imp.path == "C" {
			problems = append(problems, fmt.Sprintf("%s: mp does not use cgo", f.at(imp.spec)))
		}
	}
	return problems
}

// checkClose reports what closes a descriptor by its number, other than closeFD of internal/sys.
func checkClose(f *file) (problems []string) {
	if f.test() || f.path == "internal/sys/close_linux.go" {
		return nil
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "Close" {
			if x, ok := s.X.(*ast.Ident); ok && (x.Name == "unix" || x.Name == "syscall") {
				problems = append(problems, fmt.Sprintf("%s: a descriptor is closed by closeFD of internal/sys, or as an *os.File", f.at(s)))
			}
		}
		return true
	})
	return problems
}

// checkPsync reports imports of mp's sync under another name than psync: in mp, sync is the standard library's.
func checkPsync(f *file) (problems []string) {
	for _, imp := range f.imports() {
		if imp.path == module+"/sync" && imp.name != "psync" {
			problems = append(problems, fmt.Sprintf("%s: mp's sync is imported as psync", f.at(imp.spec)))
		}
	}
	return problems
}
