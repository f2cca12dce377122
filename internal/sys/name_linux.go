package sys

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ProgramName returns the name of the file that a process runs. If this user may not see that, it is
// the name that the kernel has for the process; "" if there is no such process.
func ProgramName(pid int) string {
	proc := "/proc/" + strconv.Itoa(pid)
	if p, err := os.Readlink(proc + "/exe"); err == nil {
		return strings.TrimSuffix(filepath.Base(p), " (deleted)")
	}
	b, err := os.ReadFile(proc + "/comm")
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(string(b), "\n")
}
