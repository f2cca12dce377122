package lint

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
	"unicode/utf8"
)

// undocumented are files of stubs: what they stand for is documented in the
// Linux files beside them.
var undocumented = []string{
	"internal/sys/unsupported.go",
	"internal/sys/process_other.go",
}

// checkDocs wants a doc comment for whatever is exported.
func checkDocs(f *file) (problems []string) {
	if f.test() || f.ast.Name.Name == "main" || slices.Contains(undocumented, f.path) {
		return nil
	}
	missing := func(n ast.Node, what string) {
		problems = append(problems, fmt.Sprintf("%s: %s has no doc comment", f.at(n), what))
	}
	for _, decl := range f.ast.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Doc == nil && d.Name.IsExported() && !selfEvident(d) {
				missing(d, d.Name.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				checkSpec(d, spec, missing)
			}
		}
	}
	return problems
}

func checkSpec(d *ast.GenDecl, spec ast.Spec, missing func(ast.Node, string)) {
	alone := d.Lparen == token.NoPos
	switch s := spec.(type) {
	case *ast.TypeSpec:
		if s.Name.IsExported() && s.Doc == nil && (!alone || d.Doc == nil) {
			missing(s, s.Name.Name)
		}
	case *ast.ValueSpec:
		// A comment above a group is for all that is in it.
		if s.Doc != nil || s.Comment != nil || d.Doc != nil {
			return
		}
		for _, name := range s.Names {
			if name.IsExported() {
				missing(name, name.Name)
			}
		}
	}
}

// selfEvident tells whether a method may do without a comment: it is one of
// an unexported type, or a short one of an interface that everyone knows.
func selfEvident(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return false
	}
	if !ast.IsExported(receiver(d.Recv.List[0].Type)) {
		return true
	}
	switch d.Name.Name {
	case "String", "Error", "Unwrap":
		return d.Body != nil && len(d.Body.List) <= 3
	}
	return false
}

func receiver(t ast.Expr) string {
	switch t := t.(type) {
	case *ast.Ident:
		return t.Name
	case *ast.StarExpr:
		return receiver(t.X)
	case *ast.IndexExpr:
		return receiver(t.X)
	case *ast.IndexListExpr:
		return receiver(t.X)
	}
	return ""
}

// checkPackageDocs wants one package comment for each package.
func checkPackageDocs(files []*file) (problems []string) {
	count := make(map[string]int)
	for _, f := range files {
		if f.test() {
			continue
		}
		if count[f.pkg()] += 0; f.ast.Doc != nil {
			count[f.pkg()]++
		}
	}
	for pkg, n := range count {
		if n != 1 {
			problems = append(problems, fmt.Sprintf("%s: %d package comments, want one", pkg, n))
		}
	}
	slices.Sort(problems)
	return problems
}

// machinePaths stand in files only by mistake. They are put together here so
// that this file has none.
var machinePaths = []string{"/" + "work/", "/" + "root/"}

// checkPaths looks at any text.
func checkPaths(name string, text []byte) (problems []string) {
	if !utf8.Valid(text) {
		return nil
	}
	n := 0
	for line := range bytes.Lines(text) {
		n++
		for _, p := range machinePaths {
			if bytes.Contains(line, []byte(p)) {
				problems = append(problems, fmt.Sprintf("%s:%d: speaks of %s…", name, n, p))
			}
		}
	}
	return problems
}

// commentPrograms returns the programs in a file's comments as Markdown has them.
func commentPrograms(source string) string {
	var text strings.Builder
	inside := false
	for line := range strings.Lines(source) {
		code, indented := strings.CutPrefix(line, "//\t")
		switch {
		case indented && strings.HasPrefix(code, "package "):
			inside = true
			text.WriteString("```go\n" + code)
		case inside && indented:
			text.WriteString(code)
		case inside && line == "//\n":
			text.WriteString("\n")
		case inside:
			inside = false
			text.WriteString("```\n")
		}
	}
	return strings.ReplaceAll(text.String(), "\n\n```", "\n```")
}

// checkPrograms wants each Go program in a text to be one of the examples, which are
// compiled and run by their tests, from the package clause on.
func checkPrograms(name, text string, examples map[string]string) (problems []string) {
	const fence = "```"
	programs := 0
	for i, block := range strings.Split(text, fence+"go\n")[1:] {
		program, _, closed := strings.Cut(block, fence)
		if !closed {
			return append(problems, fmt.Sprintf("%s: Go block %d does not end", name, i+1))
		}
		same := false
		for _, source := range examples {
			same = same || strings.HasSuffix(source, "\n"+program) && strings.HasPrefix(program, "package main\n")
		}
		if !same {
			problems = append(problems, fmt.Sprintf("%s: Go block %d is not the program of an example", name, i+1))
		}
		programs++
	}
	if programs == 0 {
		problems = append(problems, name+": no Go program")
	}
	return problems
}
