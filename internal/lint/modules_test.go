package lint

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// requirements are the modules that go.mod requires directly.
var requirements = []string{
	"github.com/HdrHistogram/hdrhistogram-go",
	"github.com/anishathalye/porcupine",
	"github.com/edsrzf/mmap-go",
	"github.com/google/go-cmp",
	"golang.org/x/sys",
}

// mayUse tells whether a file may import a package of the required module.
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
	}
	return false
}

// checkModules is the rule for packages of others.
func checkModules(f *file) (problems []string) {
	for _, imp := range f.imports() {
		first, _, _ := strings.Cut(imp.path, "/")
		if !strings.Contains(first, ".") || imp.path == module || strings.HasPrefix(imp.path, module+"/") {
			continue
		}
		i := slices.IndexFunc(requirements, func(m string) bool {
			return imp.path == m || strings.HasPrefix(imp.path, m+"/")
		})
		if i < 0 || !mayUse(f, requirements[i]) {
			problems = append(problems, fmt.Sprintf(
				"%s: %s: not to be imported here; what may be is in internal/lint/modules_test.go", f.at(imp.spec), imp.path))
		}
	}
	return problems
}

// checkRequirements is the rule for go.mod.
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

// checkUnsafe keeps unsafe to files that say so in their name.
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

// checkUnix keeps golang.org/x/sys/unix to one package.
func checkUnix(f *file) (problems []string) {
	for _, imp := range f.imports() {
		if imp.path == "golang.org/x/sys/unix" && f.pkg() != "internal/sys" {
			problems = append(problems, fmt.Sprintf("%s: golang.org/x/sys/unix is imported only in internal/sys", f.at(imp.spec)))
		}
	}
	return problems
}

// checkCgo forbids cgo.
func checkCgo(f *file) (problems []string) {
	for _, imp := range f.imports() {
		if imp.path == "C" {
			problems = append(problems, fmt.Sprintf("%s: mp does not use cgo", f.at(imp.spec)))
		}
	}
	return problems
}

// checkPsync keeps the name sync for the standard library's.
func checkPsync(f *file) (problems []string) {
	for _, imp := range f.imports() {
		if imp.path == module+"/sync" && imp.name != "psync" {
			problems = append(problems, fmt.Sprintf("%s: mp's sync is imported as psync", f.at(imp.spec)))
		}
	}
	return problems
}
