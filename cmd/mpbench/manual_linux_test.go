package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestManual compares the manual page with the help of each command.
func TestManual(t *testing.T) {
	page, stderr, code := mpbench(t, "", "man")
	if code != 0 || stderr != "" {
		t.Fatalf("exit status %d\n%s", code, stderr)
	}
	for _, c := range commands() {
		if !strings.Contains(page, "\n.SS "+c.name+"\n") {
			t.Errorf("%s is missing in\n%s", c.name, page)
		}
		flags := flagsOf(&c)
		for _, f := range flags {
			if f.does == "" || !strings.Contains(page, ".B "+roff(f.name)+"\n"+roff(f.does)) {
				t.Errorf("%s: %q is missing in\n%s", c.name, f, page)
			}
		}
		least := map[string]int{"run": 15, "compare": 3, "doctor": 1, "stat": 4, "reap": 1}
		if len(flags) < least[c.name] {
			t.Errorf("%s has the flags %q, want at least %d", c.name, flags, least[c.name])
		}
	}
}

// TestCompletion lets bash complete command lines.
func TestCompletion(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("no bash")
	}
	const try = `PATH=$1:$PATH; source <(mpbench completion bash); COMP_WORDS=($2); COMP_CWORD=$3; _mpbench; echo "${COMPREPLY[@]}"`
	for _, c := range []struct{ line, at, want string }{
		{"mpbench comp", "1", "compare completion"},
		{"mpbench help re", "2", "reap"},
		{"mpbench compare -thr", "2", "-threshold"},
		{"mpbench -transp", "1", "-transports"},
		{"mpbench stat -w", "2", "-watch"},
	} {
		out, err := exec.CommandContext(t.Context(), "bash", "-c", try, "bash", filepath.Dir(program), c.line, c.at).CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != c.want {
			t.Errorf("%s: %q, %v; want %q", c.line, got, err, c.want)
		}
	}
	for _, shell := range []string{"zsh", "fish"} {
		if out, _, code := mpbench(t, "", "completion", shell); code != 0 || !strings.Contains(out, "compare") || strings.Contains(out, "NAMES") || strings.Contains(out, "BASH") {
			t.Errorf("%s: exit status %d\n%s", shell, code, out)
		}
	}
	if _, stderr, code := mpbench(t, "", "completion", "sh"); code != exitUsage || !strings.Contains(stderr, "bash, zsh or fish") {
		t.Errorf("exit status %d\n%s", code, stderr)
	}
}
