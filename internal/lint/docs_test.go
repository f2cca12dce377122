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

// undocumented are files with stubs of functions whose doc comments are in the Linux files beside them.
var undocumented = []string{
	"internal/sys/unsupported.go",
	"internal/sys/process_other.go",
}

// checkDocs reports exported names that have no doc comment.
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
		// A comment above a group documents all names of the group.
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

// selfEvident reports whether a method needs no doc comment: it is a method of
// an unexported type, or a short String, Error or Unwrap.
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

// checkPackageDocs reports packages that do not have exactly one package comment.
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

// machinePaths are parts of paths that are in a file only by mistake. Each is split here, so
// that this file does not contain it.
var machinePaths = []string{"/" + "work/", "/" + "root/"}

// checkPaths reports the lines of a text file that contain one of machinePaths.
func checkPaths(name string, text []byte) (problems []string) {
	if !utf8.Valid(text) {
		return nil
	}
	n := 0
	for line := range bytes.Lines(text) {
		n++
		for _, p := range machinePaths {
			if bytes.Contains(line, []byte(p)) {
				problems = append(problems, fmt.Sprintf("%s:%d: contains %s, a path of one machine", name, n, p))
			}
		}
	}
	return problems
}

// commentPrograms returns the programs in the comments of a Go file, as Markdown.
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

// checkPrograms reports Go programs in a text that are not the programs, from the package clause on, of examples. The
// tests of the examples compile and run those.
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
