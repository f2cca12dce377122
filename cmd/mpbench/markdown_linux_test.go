package main

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/seed-2e7ecdea/mp/bench"
)

// TestMarkdown writes a block into a new document, and again into one with other text around it, which stays. A document
// without the lines around the block is not touched.
func TestMarkdown(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "doc.md")
	flags := []string{"-transports", "pipe,os-pipe", "-sizes", "64,1024", "-duration", "5ms", "-trials", "2", "-markdown", "doc.md", "-svg", "pictures"}
	run := func() string {
		t.Helper()
		if stdout, stderr, code := mpbench(t, dir, flags...); code != 0 {
			t.Fatalf("exit status %d\n%s%s", code, stdout, stderr)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	first := run()
	checkBlock(t, first)
	if block, found := strings.CutPrefix(first, markdownBegin); !found || !strings.HasSuffix(block, markdownEnd) {
		t.Errorf("a new document:\n%s", first)
	}
	const before, after = "# Title\n\n", "\nThe end.\n"
	old := []byte(before + markdownBegin + "OLD\n" + markdownEnd + after)
	if err := errors.Join(os.WriteFile(path, old, 0o600), os.Chmod(path, 0o600)); err != nil {
		t.Fatal(err)
	}
	text := run()
	checkBlock(t, text)
	if !strings.HasPrefix(text, before+markdownBegin) || !strings.HasSuffix(text, markdownEnd+after) || strings.Contains(text, "OLD") {
		t.Errorf("an old document:\n%s", text)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the mode is %v, %v, want that of the old document", info.Mode(), err)
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "pictures", "*.svg")); len(files) == 0 {
		t.Error("no pictures")
	}
	if err := os.WriteFile(path, []byte(before+after), 0o600); err != nil {
		t.Fatal(err)
	}
	if stdout, stderr, code := mpbench(t, dir, flags...); code != exitFailed || stdout != "" || !strings.Contains(stderr, "has not the lines") {
		t.Errorf("a document without a block: exit status %d\n%s%s", code, stdout, stderr)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != before+after {
		t.Errorf("a document without a block has become %q, %v", data, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".mpbench*")); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
	stdout, stderr, code := mpbench(t, dir, "-transports", "pipe", "-sizes", "64", "-duration", "5ms", "-trials", "1", "-markdown", "-")
	if code != 0 || !strings.HasPrefix(stdout, markdownBegin) {
		t.Errorf("exit status %d\n%s%s", code, stdout, stderr)
	}
	checkBlock(t, stdout)
	for _, args := range [][]string{{"-markdown", "/nonexistent/x.md"}, {"-svg", "/dev/null/x"}} {
		if stdout, stderr, code := mpbench(t, dir, args...); code != exitFailed || stdout != "" || !strings.Contains(stderr, args[0]) {
			t.Errorf("%q: exit status %d\n%s%s", args, code, stdout, stderr)
		}
	}
}

// TestReadme checks that README's table is a block that mpbench has written, and that its picture is of the same run.
func TestReadme(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{bench.PeersProgram, "python3"} { // so that the command line is accepted where there are none
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	checkBlock(t, string(text))
	pictures, err := filepath.Glob("../../docs/pictures/*.svg")
	if err != nil || len(pictures) == 0 {
		t.Fatalf("the pictures %q, %v", pictures, err)
	}
	when := regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d \S+`)
	run := strings.TrimSuffix(when.FindString(string(text)), ":")
	for _, path := range pictures {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		checkPicture(t, string(data))
		if !strings.Contains(string(data), ">"+run+"<") {
			t.Errorf("%s is not of the run of README, %s", path, run)
		}
	}
}

var (
	blockMachine = regexp.MustCompile(`^.+, \d+ cores, Linux \S+, go\S+ linux/\S+;\s(?:[^\n]+;\s)?\d{4}-\d\d-\d\d \d\d:\d\d \S+:\n\n    mpbench( .*)?\n\n`)
	blockFigure  = regexp.MustCompile(`^([0-9.]+( ?[kM%]| ?[nµm]?s)?)?$`)
)

// checkBlock parses the block in a document as what -markdown writes: a machine, a command line that mpbench accepts and
// that wrote the block, and tables of the transports that the command line names.
func checkBlock(t *testing.T, text string) {
	t.Helper()
	_, rest, begun := strings.Cut(text, markdownBegin)
	block, _, ended := strings.Cut(rest, markdownEnd)
	if !begun || !ended {
		t.Fatalf("no block in\n%s", text)
	}
	machine := blockMachine.FindString(block)
	if machine == "" {
		t.Fatalf("no machine and command in\n%s", block)
	}
	_, line, _ := strings.Cut(machine, "\n\n    mpbench")
	p, err := parse(strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "run ")), os.Stderr)
	if err != nil || p.markdown == "" {
		t.Errorf("the command%s: %v, -markdown %q", line, err, p.markdown)
	}
	heads := "| " + strings.Join(markdownHeads(), " | ") + " |\n"
	if !strings.Contains(block, heads) {
		t.Errorf("no line %q in\n%s", heads, block)
	}
	found := make(map[string]bool) // transports, by size
	size := ""
	for _, table := range strings.Split(block, heads)[1:] {
		table, _, _ = strings.Cut(table, "\n\n")
		for i, line := range strings.Split(table, "\n") {
			cells := strings.Split(strings.Trim(line, "|"), "|")
			if len(cells) != len(markdownHeads()) {
				t.Errorf("%d columns in %q", len(cells), line)
			}
			name := strings.TrimSpace(cells[0])
			switch {
			case i == 0: // how columns are aligned
				continue
			case strings.HasPrefix(name, "**"):
				size = strings.Trim(name, "*")
				continue
			}
			found[size+name] = true
			for _, cell := range cells[1:] {
				if cell = strings.TrimSpace(cell); !blockFigure.MatchString(cell) {
					t.Errorf("%q is no figure, in %q", cell, line)
				}
			}
		}
	}
	for _, s := range p.scenarios {
		if name := sizeText(s.Size) + s.Transport; s.Producers == 1 && s.Consumers == 1 && s.Content == "" && s.Batch <= 1 && !found[name] {
			t.Errorf("%s is missing in\n%s", name, block)
		}
	}
}

// markdownHeads returns the heads of the table of messages without its bars.
func markdownHeads() (heads []string) {
	for _, c := range messagesGrid(exampleCells(1)).columns {
		if !c.bar {
			heads = append(heads, c.head)
		}
	}
	return heads
}
