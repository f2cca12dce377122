package lint

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// root is the module's directory.
var root = filepath.Join("..", "..")

// A file is a Go file of the module.
type file struct {
	path string // relative to the module, with slashes
	fset *token.FileSet
	ast  *ast.File
}

func parse(name string, src any) (*file, error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	return &file{path: name, fset: fset, ast: f}, nil
}

// pkg returns the directory of the file's package.
func (f *file) pkg() string { return path.Dir(f.path) }

func (f *file) test() bool { return strings.HasSuffix(f.path, "_test.go") }

// external reports whether the file is a test in a package of its own, such as p_test.
func (f *file) external() bool { return f.test() && strings.HasSuffix(f.ast.Name.Name, "_test") }

func (f *file) at(n ast.Node) string {
	return fmt.Sprintf("%s:%d", f.path, f.fset.Position(n.Pos()).Line)
}

// An imported is an import. Its name is empty unless the import names the package itself.
type imported struct {
	path, name string
	spec       *ast.ImportSpec
}

func (f *file) imports() (list []imported) {
	for _, spec := range f.ast.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			p = spec.Path.Value
		}
		imp := imported{path: p, spec: spec}
		if spec.Name != nil {
			imp.name = spec.Name.Name
		}
		list = append(list, imp)
	}
	return list
}

// A rule checks a Go file. Its function returns the problems that it finds.
type rule struct {
	name  string
	check func(*file) []string
}

var rules = []rule{
	{"edges", checkEdges},
	{"unsafe", checkUnsafe},
	{"unix", checkUnix},
	{"modules", checkModules},
	{"psync", checkPsync},
	{"cgo", checkCgo},
	{"close", checkClose},
	{"docs", checkDocs},
}

// walk calls f with the path of each file of the repository.
func walk(t *testing.T, f func(name string)) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == ".git" && d.IsDir():
			return fs.SkipDir
		case name == ".git": // of a git worktree
		case d.Type().IsRegular():
			f(name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// sources returns the Go files of the module.
func sources(t *testing.T) (files []*file) {
	t.Helper()
	walk(t, func(name string) {
		if !strings.HasSuffix(name, ".go") || strings.HasPrefix(name, "tools/") || strings.HasPrefix(name, ".") ||
			strings.Contains("/"+name, "/testdata/") {
			return
		}
		f, err := parse(name, read(t, name))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	})
	if len(files) < 50 {
		t.Fatalf("found only %d Go files below %s", len(files), root)
	}
	return files
}

func report(t *testing.T, problems []string) {
	t.Helper()
	for _, p := range problems {
		t.Error(p)
	}
}

func TestSources(t *testing.T) {
	files := sources(t)
	for _, rule := range rules {
		t.Run(rule.name, func(t *testing.T) {
			for _, f := range files {
				report(t, rule.check(f))
			}
		})
	}
	t.Run("package docs", func(t *testing.T) { report(t, checkPackageDocs(files)) })
}

func TestLayers(t *testing.T) { report(t, checkLayers(layers)) }

func TestRequirements(t *testing.T) { report(t, checkRequirements(string(read(t, "go.mod")))) }

func TestPaths(t *testing.T) {
	walk(t, func(name string) { report(t, checkPaths(name, read(t, name))) })
}

func TestPrograms(t *testing.T) {
	examples := make(map[string]string)
	walk(t, func(name string) {
		if ok, _ := path.Match("examples/*/main.go", name); ok {
			examples[name] = string(read(t, name))
		}
	})
	report(t, checkPrograms("README.md", string(read(t, "README.md")), examples))
	report(t, checkPrograms("mp.go", commentPrograms(string(read(t, "mp.go"))), examples))
}
