// Package examples_test runs the example programs.
package examples_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// patience is the longest that the build and run of one example may take. They take milliseconds.
const patience = time.Minute

func TestExamples(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("mp runs on Linux")
	}
	file := filepath.Join(t.TempDir(), "text")
	line := strings.Repeat("one two two, three Three THREE ", 40) + "\n" // more than a piece
	text := strings.Repeat(line, 300)                                    // more pieces than the queue holds
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PYTHONPATH", "../clients/python")
	worker := filepath.Join(t.TempDir(), "worker.c")
	for _, test := range []struct {
		name, dir string
		args      []string
		want      string
	}{
		{"hello", "hello", nil, `^(hello [abc] from process \d+\n){3}$`},
		{"sum", "sum", nil, `^4950\n$`},
		{"wordcount", "wordcount", nil, `^3 humpty\n2 a\n2 all\n2 dumpty\n2 king's\n$`},
		{"wordcount of a file", "wordcount", []string{file}, `^36000 three\n24000 two\n12000 one\n$`},
		{"pool", "pool", nil, `^1\n4\n9\n$`},
		{"manager", "manager", nil, `^3 be\n2 that\n2 to\n$`},
		{"isolate", "isolate", nil, `^crash: crashed its worker\nabort: crashed its worker\nleak: needed too much memory\n` +
			`loop: took too long\nworkers lost: map\[crash:2 out of memory:1 timeout:1\]\n$`},
		{"survive", "survive", nil, `^(repairing 949 \+ 50 coins\n|repairing \d+ \+ \d+ coins\n)?` +
			`proc: move-3: ended by signal 9 \(killed\)\n(repairing \d+ \+ \d+ coins\n)?749 \+ 251 coins\n$`},
		{"point", "point", nil, `^49\n0\.1111111111111111\nHELLO WORLD\n` +
			`\(3\.515625, 39\.0625\)\n\(33\.0625, 4\)\n\(5\.640625, 90\.25\)\n$`},
		{"python", "python", []string{"python"}, `^Python: 3 points from \(-5\.75, -6\.25\) to \(2\.375, 9\.5\)\n` +
			`Go: 3 HELLO WORLD \[{3\.515625 39\.0625} {33\.0625 4} {5\.640625 90\.25}\]\n$`},
		{"pool of Python", "pythonpool", []string{"pythonpool/worker.py"}, `^map\[be:2 not:1 or:1 to:2\]\n` +
			`map\[is:1 question:1 that:1 the:1\]\nits worker was lost, signal 11\nmap\[and:2 on:2 so:1\]\n$`},
		{"worker in Python", "worker", []string{"python3", "-B", "worker/python/worker.py"}, `^sum of the squares: 3\.328335e\+08\n$`},
		{"worker in C", "worker", []string{worker}, `^sum of the squares: 3\.328335e\+08\n$`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if strings.Contains(test.name, "C") {
				needC(t, worker)
			}
			if strings.Contains(strings.ToLower(test.name), "python") {
				needPython(t)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			program := filepath.Join(t.TempDir(), test.dir)
			if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, "./"+test.dir).CombinedOutput(); err != nil {
				t.Fatalf("build: %v\n%s", err, out)
			}
			cmd := exec.CommandContext(ctx, program, test.args...)
			var said bytes.Buffer
			cmd.Stderr = &said
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v\n%s%s", err, out, &said)
			}
			t.Logf("standard error, its end: %s", said.Bytes()[max(0, said.Len()-500):])
			if !regexp.MustCompile(test.want).Match(out) {
				t.Errorf("printed\n%swant\n%s", out, test.want)
			}
		})
	}
	for _, name := range []string{"mp-survive-*", "mp-python-*"} {
		if left, _ := filepath.Glob("/dev/shm/" + name); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

// needC compiles the worker in C, or skips the test.
func needC(t *testing.T, worker string) {
	t.Helper()
	if _, err := exec.LookPath("cc"); err != nil {
		t.Skip("needs a C compiler")
	}
	out, err := exec.Command("cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-O1", "-I../clients/c", "-o", worker, "worker/c/worker.c").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// needPython skips the test unless there is a python3 that lays out structs as
// this program does: with 32 bits, fields of 8 bytes have other offsets than with 64.
func needPython(t *testing.T) {
	t.Helper()
	bits, err := exec.Command("python3", "-c", "import struct; print(8 * struct.calcsize('P'))").Output()
	if err != nil {
		t.Skip("needs python3")
	}
	if b := strings.TrimSpace(string(bits)); b != strconv.Itoa(strconv.IntSize) {
		t.Skipf("python3 has %s bits, this program %d", b, strconv.IntSize)
	}
}
