package lint

import (
	"slices"
	"strings"
	"testing"
)

// TestRulesCatch gives each rule files that break it, and files that do not.
func TestRulesCatch(t *testing.T) {
	const mp = `"` + module + `/`
	imports := func(what string) string { return "package p\n\nimport " + what + "\n" }
	for _, test := range []struct {
		rule, path, src string
		want            string // part of the problem; empty: none
	}{
		{"edges", "ring/x.go", imports(mp + `shm"`), ""},
		{"edges", "ring/x.go", imports(mp + `proc"`), "add it to layers in internal/lint/layers_test.go"},
		{"edges", "ring/x.go", imports("psync " + mp + `sync"`), "ring imports sync, which is not listed for it"},
		{"edges", "ring/x_test.go", imports(mp + `proc"`), "not listed for it"},
		{"edges", "ring/x_test.go", "package ring_test\n\nimport " + mp + `proc"`, ""},
		{"edges", "ring/x.go", imports(mp + `internal/leak"`), "not listed for it"},
		{"edges", "ring/x_test.go", imports(mp + `internal/leak"`), ""},
		{"edges", "ring/x.go", "//go:build windows\n\n" + imports(mp+`proc"`), "not listed for it"},
		{"edges", "examples/new/main.go", imports(mp + `proc"`), ""},
		{"edges", "examples/new/main.go", imports(mp + `internal/sys"`), "not listed for it"},
		{"edges", "pool/x.go", imports(`"fmt"`), "package pool has no layer"},

		{"unsafe", "ring/x.go", imports(`"unsafe"`), "ring/x.go:3: unsafe is imported only in"},
		{"unsafe", "ring/x_test.go", imports(`_ "unsafe"`), "unsafe is imported only in"},
		{"unsafe", "ring/unsafe.go", imports(`"unsafe"`), "unsafe is imported only in"},
		{"unsafe", "ring/x_unsafe.go", imports(`"unsafe"`), ""},
		{"unsafe", "ring/x_unsafe_test.go", imports(`"unsafe"`), ""},

		{"unix", "shm/x.go", imports(`"golang.org/x/sys/unix"`), "only in internal/sys"},
		{"unix", "shm/x_test.go", "package shm_test\n\n" + `import "golang.org/x/sys/unix"`, "only in internal/sys"},
		{"unix", "internal/sys/x.go", imports(`"golang.org/x/sys/unix"`), ""},

		{"modules", "shm/x.go", imports(`"github.com/edsrzf/mmap-go"`), ""},
		{"modules", "shm/x.go", imports(`"golang.org/x/sys/cpu"`), ""},
		{"modules", "shm/x.go", imports(`"golang.org/x/sync/errgroup"`), "golang.org/x/sync/errgroup may not be imported here"},
		{"modules", "shm/x.go", imports(`"golang.org/x/system"`), "may not be imported here"},
		{"modules", "shm/x.go", imports(`"github.com/google/go-cmp/cmp"`), "may not be imported here"},
		{"modules", "shm/x_test.go", imports(`"github.com/google/go-cmp/cmp"`), ""},
		{"modules", "shm/x_test.go", imports(`"github.com/HdrHistogram/hdrhistogram-go"`), "may not be imported here"},
		{"modules", "bench/x.go", imports(`"github.com/HdrHistogram/hdrhistogram-go"`), ""},
		{"modules", "internal/history/x_test.go", imports(`"github.com/anishathalye/porcupine"`), ""},
		{"modules", "internal/history/x.go", imports(`"github.com/anishathalye/porcupine"`), "may not be imported here"},
		{"modules", "ring/x_test.go", imports(`"github.com/anishathalye/porcupine"`), "may not be imported here"},
		{"modules", "bench/x.go", imports(`"golang.org/x/exp/rand"`), "may not be imported here"},
		{"modules", "proc/x.go", imports(mp + `shm"`), ""},
		{"modules", "cluster/x.go", imports(`"github.com/nats-io/nats.go/jetstream"`), ""},
		{"modules", "cluster/x.go", imports(`"golang.org/x/net/nettest"`), "may not be imported here"},
		{"modules", "proc/x.go", imports(`"github.com/nats-io/nats.go"`), "may not be imported here"},

		{"psync", "bench/x.go", imports("psync " + mp + `sync"`), ""},
		{"psync", "bench/x.go", imports(mp + `sync"`), "imported as psync"},
		{"psync", "sync/x_test.go", "package sync_test\n\nimport . " + mp + `sync"`, "imported as psync"},

		{"cgo", "shm/x.go", imports(`"C"`), "does not use cgo"},
		{"cgo", "shm/x.go", imports(`"fmt"`), ""},

		{"close", "internal/sys/x.go", imports(`"golang.org/x/sys/unix"`) + "\nfunc f() { unix.Close(0) }", "closed by closeFD"},
		{"close", "shm/x.go", imports(`"syscall"`) + "\nvar f = syscall.Close", "closed by closeFD"},
		{"close", "shm/x_test.go", imports(`"syscall"`) + "\nfunc f() { syscall.Close(0) }", ""},
		{"close", "shm/x.go", imports(`"os"`) + "\nfunc f() { os.Stdin.Close() }", ""},

		{"docs", "shm/x.go", "package p\n\nfunc F() {}", "shm/x.go:3: F has no doc comment"},
		{"docs", "shm/x.go", "package p\n\n// F is documented.\nfunc F() {}", ""},
		{"docs", "shm/x.go", "package p\n\nfunc f() {}", ""},
		{"docs", "shm/x_test.go", "package p\n\nfunc F() {}", ""},
		{"docs", "shm/x.go", "package p\n\ntype T int", "T has no doc comment"},
		{"docs", "shm/x.go", "package p\n\n// These are types.\ntype (\n\tT int\n)", "T has no doc comment"},
		{"docs", "shm/x.go", "package p\n\nfunc (t *T[K]) Close() {}", "Close has no doc comment"},
		{"docs", "shm/x.go", "package p\n\nfunc (t *t[K, V]) Close() {}", ""},
		{"docs", "shm/x.go", "package p\n\nfunc (t T) String() string { return string(t) }", ""},
		{"docs", "shm/x.go", "package p\n\nfunc (t T) String() string { a(); b(); c(); return string(t) }", "String has no doc comment"},
		{"docs", "shm/x.go", "package p\n\nconst (\n\ta = 1\n\tB = 2\n)", "B has no doc comment"},
		{"docs", "shm/x.go", "package p\n\nvar A, B = 1, 2 // documented", ""},
		{"docs", "shm/x.go", "package p\n\n// Both.\nvar (\n\tA = 1\n\tB = 2\n)", ""},
		{"docs", "internal/sys/unsupported.go", "package sys\n\nfunc F() {}", ""},
		{"docs", "cmd/mpbench/x.go", "package main\n\nfunc F() {}", ""},
	} {
		i := slices.IndexFunc(rules, func(r rule) bool { return r.name == test.rule })
		f, err := parse(test.path, test.src)
		if err != nil {
			t.Fatal(err)
		}
		want(t, test.rule+" of "+test.path+":\n"+test.src, rules[i].check(f), test.want)
	}
}

// want checks that there is one problem, which contains part, or none if part is empty.
func want(t *testing.T, what string, problems []string, part string) {
	t.Helper()
	switch {
	case part == "" && len(problems) > 0:
		t.Errorf("%s\ngives %q, want no problem", what, problems)
	case part != "" && (len(problems) != 1 || !strings.Contains(problems[0], part)):
		t.Errorf("%s\ngives %q, want one with %q", what, problems, part)
	}
}

func TestLayersCatch(t *testing.T) {
	for _, test := range []struct {
		layers []layer
		want   string
	}{
		{[]layer{{"a", []string{"b"}}, {"b", nil}}, ""},
		{[]layer{{"a", nil}, {"b", []string{"a"}}}, "is not below it"},
		{[]layer{{"a", []string{"a"}}}, "is not below it"},
		{[]layer{{"a", []string{"b"}}}, "not listed"},
	} {
		want(t, "layers", checkLayers(test.layers), test.want)
	}
}

func TestRequirementsCatch(t *testing.T) {
	list := func(more ...string) string {
		mod := "module m\n\ngo 1.26.0\n\nrequire (\n"
		for _, m := range append(slices.Clone(requirements), more...) {
			mod += "\t" + m + " v1.0.0\n"
		}
		return mod + ")\n\nrequire golang.org/x/text v1.0.0 // indirect\n"
	}
	for _, test := range []struct{ mod, want string }{
		{list(), ""},
		{list("golang.org/x/sync"), "requires golang.org/x/sync, which is not in"},
		{list() + "\nrequire golang.org/x/sync v1.0.0\n", "requires golang.org/x/sync, which is not in"},
		{strings.Replace(list(), requirements[0], "// ", 1), "does not require " + requirements[0]},
	} {
		want(t, test.mod, checkRequirements(test.mod), test.want)
	}
}

func TestPackageDocsCatch(t *testing.T) {
	for _, test := range []struct {
		sources map[string]string
		want    string
	}{
		{map[string]string{"p/a.go": "// Package p.\npackage p", "p/b.go": "package p"}, ""},
		{map[string]string{"p/a.go": "package p", "p/a_test.go": "// Package p.\npackage p"}, "p: 0 package comments"},
		{map[string]string{"p/a.go": "// Package p.\npackage p", "p/b.go": "// Too.\npackage p"}, "p: 2 package comments"},
	} {
		var files []*file
		for name, src := range test.sources {
			f, err := parse(name, src)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
		}
		want(t, "package docs", checkPackageDocs(files), test.want)
	}
}

func TestPathsCatch(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"see ../main and /usr/local/go\nnetwork/ and work/", ""},
		{"x\nsee " + machinePaths[0] + "main", "f:2: contains"},
		{machinePaths[1] + "go", "f:1: contains"},
		{"\xff" + machinePaths[1], ""},
	} {
		want(t, test.text, checkPaths("f", []byte(test.text)), test.want)
	}
}

func TestProgramsCatch(t *testing.T) {
	const program = "package main\n\nfunc main() {}\n"
	examples := map[string]string{"examples/x/main.go": "// Command x.\n" + program}
	block := func(s string) string { return "# mp\n\n```go\n" + s + "```\n\ntext\n" }
	for _, test := range []struct{ readme, want string }{
		{block(program), ""},
		{"# mp\n", "no Go program"},
		{block("package main\n\nfunc main() { f() }\n"), "Go block 1 is not the program of an example"},
		{block("func main() {}\n"), "Go block 1 is not the program of an example"},
		{block(program) + block("}\n"), "Go block 2 is not"},
		{"```go\n" + program, "does not end"},
	} {
		want(t, test.readme, checkPrograms("README.md", test.readme, examples), test.want)
	}
}
