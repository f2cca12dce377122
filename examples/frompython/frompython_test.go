// Package frompython_test runs the programs of docs/from-python.md, in Go and in Python, and
// checks that the page shows them as they are.
package frompython_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// patience is the longest that the build of all programs, or the run of one, may take. They take milliseconds.
const patience = 2 * time.Minute

const page = "../../docs/from-python.md"

var update = flag.Bool("update", false, "write the programs into "+page)

// programs lists the directories of the programs and what the programs print. If python is empty, the program in Python
// prints the same as that in Go.
var programs = []struct {
	name, output, python string
	anyOrder             bool
}{
	{name: "process", output: "hello bob\n"},
	{name: "class", output: "good morning bob\n17\n"},
	{name: "children", anyOrder: true, output: "child 0 works on 0\nchild 1 works on 1\nchild 2 works on 2\n" +
		"child 3 works on 3\nchild 4 works on 4\nchild 5 works on 5\n"},
	{name: "exitcode", output: "proc: Join of process \"worker\": context deadline exceeded\nworker true false\n" +
		"proc: worker: exit code 3\nworker false 3\n", python: "worker True None\nworker False 3\n"},
	{name: "daemon", output: "the daemon starts\nthe worker ends\nthe daemon cleans up\n",
		python: "the daemon starts\nthe worker ends\n"},
	{name: "pool", output: "1\n4\n9\n"},
	{name: "starmap", output: "Brown & Rivera\nWilson & Bartlett\nBartlett & Wilson\nRivera & Brown\n"},
	{name: "global", output: "child: 1\nparent: 0\n"},
	{name: "pipe", anyOrder: true, output: "hello from ann\nhello from bob\n"},
	{name: "wait", anyOrder: true, output: "0 from child 0\n0 from child 1\n0 from child 2\n1 from child 0\n" +
		"1 from child 1\n1 from child 2\n2 from child 0\n2 from child 1\n2 from child 2\n" +
		"exit code 0\nexit code 1\nexit code 2\n"},
	{name: "queue", output: "45\n"},
	{name: "bounded", output: "79800\n"},
	{name: "value", output: "3.1415927\n[0 -1 -2 -3 -4 -5 -6 -7 -8 -9]\n",
		python: "3.1415927\n[0, -1, -2, -3, -4, -5, -6, -7, -8, -9]\n"},
	{name: "counter", output: "4000\n"},
	{name: "structs", output: "3.515625 39.0625\n33.0625 4\n5.640625 90.25\n",
		python: "3.515625 39.0625\n33.0625 4.0\n5.640625 90.25\n"},
	{name: "manager", output: "1 1\n2 2\n0.25 <nil>\n[9 8 7 6 5 4 3 2 1 0]\n",
		python: "1 1\n2 2\n0.25 None\n[9, 8, 7, 6, 5, 4, 3, 2, 1, 0]\n"},
	{name: "sharedmemory", output: "[4 6 10 14]\n", python: "[4, 6, 10, 14]\n"},
	{name: "lock", anyOrder: true, output: "hello world 0\nhello world 1\nhello world 2\nhello world 3\nhello world 4\n" +
		"hello world 5\nhello world 6\nhello world 7\nhello world 8\nhello world 9\n"},
}

func TestPrograms(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("mp runs on Linux")
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	dir := t.TempDir()
	if out, err := exec.CommandContext(ctx, "go", "build", "-ldflags=-s -w", "-o", dir, "./...").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	python, noPython := exec.LookPath("python3")
	for _, p := range programs {
		t.Run(p.name, func(t *testing.T) {
			run(t, p.output, p.anyOrder, filepath.Join(dir, p.name))
		})
		t.Run(p.name+" in Python", func(t *testing.T) {
			if noPython != nil {
				t.Skip("needs python3")
			}
			want := p.python
			if want == "" {
				want = p.output
			}
			run(t, want, p.anyOrder, python, filepath.Join(p.name, "main.py"))
		})
	}
}

// run runs a program and compares what it prints.
func run(t *testing.T, want string, anyOrder bool, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "PYTHONUNBUFFERED=") // an unbuffered Python writes a line in pieces
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	lines := strings.SplitAfter(string(out), "\n")
	if anyOrder {
		slices.Sort(lines)
	}
	if got := strings.Join(lines, ""); got != want {
		t.Errorf("printed\n%swant\n%s", got, want)
	}
}

// block matches a program in the page, and the comment before it that names its file.
var block = regexp.MustCompile("(?s)<!-- program: (\\S+) -->\n```[a-z]+\n.*?\n```\n")

// TestPage checks that the programs in the page are the same as in the files that it names.
func TestPage(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	shown := make(map[string]bool)
	want := block.ReplaceAllStringFunc(string(text), func(b string) string {
		name := block.FindStringSubmatch(b)[1]
		shown[name] = true
		source, err := os.ReadFile(name)
		if err != nil {
			t.Error(err)
			return b
		}
		return show(name, string(source))
	})
	for _, p := range programs {
		for _, name := range []string{p.name + "/main.go", p.name + "/main.py"} {
			if !shown[name] {
				t.Errorf("%s does not show %s", page, name)
			}
		}
	}
	if strings.Count(string(text), "```go\n")+strings.Count(string(text), "```python\n") != len(shown) {
		t.Errorf("%s has a program that is in no file here, or has a program twice", page)
	}
	if want == string(text) {
		return
	}
	if !*update {
		t.Fatalf("%s does not show the programs as they are: run go test ./examples/frompython -update", page)
	}
	if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// show returns the text by which the page shows a program. It leaves out the imports of a Go program, and the functions
// check and must at its end.
func show(name, source string) string {
	language := "python"
	if strings.HasSuffix(name, ".go") {
		language = "go"
		_, source, _ = strings.Cut(source, "\n)\n\n")
		source, _, _ = strings.Cut(source, "\nfunc must[")
		source, _, _ = strings.Cut(source, "\nfunc check(")
	}
	return fmt.Sprintf("<!-- program: %s -->\n```%s\n%s```\n", name, language, source)
}
