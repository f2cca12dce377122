package sys

import (
	"os"
	"strconv"
	"strings"
)

// ProgramName returns the name that the kernel has for a process, "" if there is no such process.
func ProgramName(pid int) string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(string(b), "\n")
}
