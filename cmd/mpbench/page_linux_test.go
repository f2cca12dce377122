package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestHTML writes a page of a run.
func TestHTML(t *testing.T) {
	dir := t.TempDir()
	stdout, stderr, code := mpbench(t, dir, "-transports", "pipe,os-pipe", "-sizes", "64,1024", "-duration", "10ms", "-trials", "1", "-html", "out.html")
	if code != 0 || stderr != "" || !strings.Contains(stdout, "os-pipe") {
		t.Fatalf("exit status %d\n%s%s", code, stdout, stderr)
	}
	data, err := os.ReadFile(filepath.Join(dir, "out.html"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	if !strings.Contains(text, "mpbench -transports pipe,os-pipe -sizes 64,1024") || strings.Count(text, "<figure>") < 6 {
		t.Errorf("the page:\n%s", text)
	}
	if stdout, stderr, code := mpbench(t, dir, "-html", "-", "-json", "-"); code != exitUsage || stdout != "" || !strings.Contains(stderr, "-html") {
		t.Errorf("two outputs on standard output: exit status %d\n%s%s", code, stdout, stderr)
	}
	if _, stderr, code := mpbench(t, dir, "-transports", "pipe", "-sizes", "64", "-duration", "5ms", "-trials", "1", "-html", "/dev/full"); code != exitFailed || !strings.Contains(stderr, "no space left") {
		t.Errorf("a full disk: exit status %d\n%s", code, stderr)
	}
}

// TestOnlyOthers measures what the first table does not show. An output file that can't be opened leaves the old
// content of another one.
func TestOnlyOthers(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "old.json")
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	flags := []string{"-transports", "pipe", "-sizes", "64", "-measure", "paced", "-rate", "1000", "-duration", "10ms", "-trials", "1", "-json", path}
	if _, stderr, code := mpbench(t, dir, append(flags, "-html", "/nonexistent/x")...); code != exitFailed || !strings.Contains(stderr, "-html") {
		t.Errorf("exit status %d\n%s", code, stderr)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "old" {
		t.Errorf("the file has %q, %v, want what it had", data, err)
	}
	stdout, stderr, code := mpbench(t, dir, flags...)
	if code != 0 || !strings.Contains(stdout, "\npaced   pipe") {
		t.Errorf("exit status %d\n%s%s", code, stdout, stderr)
	}
	if report, err := readReport(path); err != nil || len(report.Results) != 1 {
		t.Errorf("%+v, %v, want one result", report, err)
	}
}
