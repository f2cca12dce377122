package lint

import (
	"fmt"
	"go/ast"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A tree lists what documents may name or link to.
type tree struct {
	files map[string]bool     // files and directories, relative to the module
	tests map[string]bool     // such as "ring.TestQueue": the directory and the function
	docs  map[string]string   // texts of the documents
	heads map[string][]string // anchors of the documents' headings
}

var (
	linkPattern   = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	codePattern   = regexp.MustCompile("`([^`\n]+)`")
	testPattern   = regexp.MustCompile(`^([a-z][a-z0-9/]*)\.((?:Test|Fuzz|Benchmark)[A-Z]\w*)$`)
	sourcePattern = regexp.MustCompile(`^[a-z0-9_]+(/[a-z0-9_.]+)+\.(go|pml|py)$`)
	headPattern   = regexp.MustCompile(`(?m)^#+ +(.*)$`)
	notInAnchors  = regexp.MustCompile(`[^a-z0-9 _-]`)
	fencePattern  = regexp.MustCompile("(?ms)^```.*?^```$")
)

// anchors returns the names that GitHub gives to the headings of a document in links.
func anchors(text string) (names []string) {
	for _, m := range headPattern.FindAllStringSubmatch(fencePattern.ReplaceAllString(text, ""), -1) {
		name := notInAnchors.ReplaceAllString(strings.ToLower(m[1]), "")
		names = append(names, strings.ReplaceAll(name, " ", "-"))
	}
	return names
}

// checkDocument reports links of a document that lead nowhere, and tests and source
// files that it names in `code` and that do not exist.
func checkDocument(name string, t *tree) (problems []string) {
	text := fencePattern.ReplaceAllString(t.docs[name], "")
	for _, m := range linkPattern.FindAllStringSubmatch(codePattern.ReplaceAllString(text, "code"), -1) {
		if p := t.checkLink(name, m[1]); p != "" {
			problems = append(problems, p)
		}
	}
	for _, m := range codePattern.FindAllStringSubmatch(text, -1) {
		switch {
		case testPattern.MatchString(m[1]):
			if !t.tests[m[1]] {
				problems = append(problems, fmt.Sprintf("%s: there is no test %s", name, m[1]))
			}
		case sourcePattern.MatchString(m[1]):
			if !t.files[m[1]] {
				problems = append(problems, fmt.Sprintf("%s: there is no file %s", name, m[1]))
			}
		}
	}
	return problems
}

func (t *tree) checkLink(name, link string) string {
	if strings.Contains(link, "://") {
		return ""
	}
	target, anchor, hasAnchor := strings.Cut(link, "#")
	to := name
	if target != "" {
		to = path.Join(path.Dir(name), target)
	}
	switch {
	case !t.files[to]:
		return fmt.Sprintf("%s: link to %s, which does not exist", name, link)
	case hasAnchor && !slices.Contains(t.heads[to], anchor):
		return fmt.Sprintf("%s: link to %s: %s has no such heading", name, link, to)
	}
	return ""
}

// repository returns the tree of this module.
func repository(t *testing.T) *tree {
	r := &tree{
		files: map[string]bool{".": true},
		tests: make(map[string]bool),
		docs:  make(map[string]string),
		heads: make(map[string][]string),
	}
	walk(t, func(name string) {
		for n := name; n != "."; n = path.Dir(n) {
			r.files[n] = true
		}
		if strings.HasSuffix(name, ".md") {
			r.docs[name] = string(read(t, name))
			r.heads[name] = anchors(r.docs[name])
		}
	})
	for _, f := range sources(t) {
		if f.test() {
			for _, decl := range f.ast.Decls {
				if d, ok := decl.(*ast.FuncDecl); ok && d.Recv == nil {
					r.tests[f.pkg()+"."+d.Name.Name] = true
				}
			}
		}
	}
	return r
}

func TestDocuments(t *testing.T) {
	r := repository(t)
	for name := range r.docs {
		report(t, checkDocument(name, r))
	}
	if !strings.Contains(r.docs["docs/design/queue.md"], "`ring.TestQueueStorm`") {
		t.Error("docs/design/queue.md names no test")
	}
}

func TestDocumentsCatch(t *testing.T) {
	r := &tree{
		files: map[string]bool{"README.md": true, "docs/a.md": true, "ring": true, "ring/queue.go": true},
		tests: map[string]bool{"ring.TestQueue": true, "internal/wait.TestHub": true},
		docs:  make(map[string]string),
		heads: map[string][]string{"README.md": anchors("# mp\n\n```\n# no heading\n```\n\n## The `Queue`: why, how?\n")},
	}
	for _, test := range []struct{ text, want string }{
		{"[top](../README.md), [queue](../ring/queue.go), [ring](../ring), [web](https://go.dev/x)", ""},
		{"[queue](../README.md#the-queue-why-how)", ""},
		{"[queue](../README.md#no-heading)", "has no such heading"},
		{"[b](b.md)", "link to b.md, which does not exist"},
		{"[b](README.md)", "link to README.md, which does not exist"},
		{"```\n[b](b.md)\n```\n", ""},
		{"`ring.TestQueue`, `internal/wait.TestHub`, `ring/queue.go`, `x.go`, `psync.Lock`", ""},
		{"`NewQueue[T](n)`, [`code`](../README.md)", ""},
		{"`ring.TestPipe`", "there is no test ring.TestPipe"},
		{"`wait.TestHub`", "there is no test wait.TestHub"},
		{"`ring/pipe.go`", "there is no file ring/pipe.go"},
	} {
		r.docs["docs/a.md"] = test.text
		want(t, test.text, checkDocument("docs/a.md", r), test.want)
	}
}
