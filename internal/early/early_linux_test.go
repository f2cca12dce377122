package main_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestBeforeInit shows that what runs in a child before Init, and the programs that it starts, get nothing of
// mp: they inherit no descriptor and no variable, are not taken for the child, and can't make the child forget that it is one.
func TestBeforeInit(t *testing.T) {
	program := filepath.Join(t.TempDir(), "early")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	for _, test := range []struct{ mode, want string }{
		{"helper", `^helper (\d+) has \["0 /dev/null" "1 /dev/null" "2 /dev/null"\]\n` +
			`join: proc: child: ended by signal 9 \(killed\)\n` +
			`acquire: .*its owner died.*\nwithin a second: true\n$`},
		{"ask", `^child runs, version "version\\n"\n$`},
		{"clear", `^child runs, version ""\n$`},
	} {
		t.Run(test.mode, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, program, test.mode)
			// The helper reports each variable of mp that it finds: those of the test's own environment are none of its business.
			cmd.Env = slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "MP_") })
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			match := regexp.MustCompile(test.want).FindSubmatch(out)
			if match == nil {
				t.Errorf("printed\n%swant\n%s", out, test.want)
			}
			if test.mode == "helper" {
				helper := regexp.MustCompile(`helper (\d+) has`).FindSubmatch(out)
				if helper == nil {
					t.Fatal("the helper is not known, and stays")
				}
				if pid, err := strconv.Atoi(string(helper[1])); err != nil || syscall.Kill(pid, syscall.SIGKILL) != nil {
					t.Errorf("the helper %s can't be ended", helper[1])
				}
			}
		})
	}
}
