package lint

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// public are the packages for programs.
var public = []string{".", "array", "bench", "futex", "netconn", "poll", "proc", "proc/connection", "proc/manager", "ring", "shm", "sync", "value"}

// TestPublicSurface wants the documentation of packages for programs to name no type of an internal package: a program could
// not use it.
func TestPublicSurface(t *testing.T) {
	for _, pkg := range public {
		internal := make(map[string]bool) // names by which the package's files know internal packages
		var files []*ast.File
		set := token.NewFileSet()
		names, err := filepath.Glob(filepath.Join(root, pkg, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(set, name, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
			for _, imp := range f.Imports {
				if path := strings.Trim(imp.Path.Value, `"`); strings.HasPrefix(path, module+"/internal/") {
					internal[filepath.Base(path)] = true
				}
			}
		}
		docs, err := doc.NewFromFiles(set, files, module+"/"+pkg)
		if err != nil {
			t.Fatal(err)
		}
		check := func(what string, node ast.Node) {
			ast.Inspect(node, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok {
					if x, ok := s.X.(*ast.Ident); ok && internal[x.Name] {
						t.Errorf("%s: %s names %s.%s", pkg, what, x.Name, s.Sel.Name)
					}
				}
				return true
			})
		}
		for _, f := range docs.Funcs {
			check(f.Name, f.Decl)
		}
		for _, typ := range docs.Types {
			for _, spec := range typ.Decl.Specs {
				checkType(spec.(*ast.TypeSpec), func(n ast.Node) { check(typ.Name, n) })
			}
			for _, f := range append(typ.Funcs, typ.Methods...) {
				check(typ.Name+"."+f.Name, f.Decl.Type)
			}
		}
	}
}

// checkType checks what the documentation shows of a type: exported fields only.
func checkType(spec *ast.TypeSpec, check func(n ast.Node)) {
	s, ok := spec.Type.(*ast.StructType)
	if !ok {
		check(spec.Type)
		return
	}
	for _, f := range s.Fields.List {
		for _, name := range f.Names {
			if name.IsExported() {
				check(f.Type)
			}
		}
	}
}
