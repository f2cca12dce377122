// Package aaa does in its init what packages of programs do, before mp's packages are initialized: it
// starts a helper that outlives the process, asks this program for its version, or clears the environment.
package aaa

import (
	"os"
	"os/exec"
)

// Env says in the environment what to do: "helper", "ask" or "clear".
const Env = "MP_TEST_EARLY"

var (
	// Mode is what was done, "" if nothing was.
	Mode string
	// Helper is the pid of the helper.
	Helper int
	// Version is what the other process printed.
	Version string
)

func init() {
	Mode = os.Getenv(Env)
	os.Unsetenv(Env)
	switch Mode {
	case "helper":
		c := exec.Command("sleep", "60")
		if err := c.Start(); err != nil {
			panic(err)
		}
		Helper = c.Process.Pid
	case "ask":
		out, err := exec.Command("/proc/self/exe", "version").CombinedOutput()
		if err != nil {
			panic(err)
		}
		Version = string(out)
	case "clear":
		os.Clearenv()
	}
}
