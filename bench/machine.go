package bench

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// A Machine describes the machine and the system on which a program runs.
type Machine struct {
	CPU    string `json:"cpu"`   // model; the architecture if the system does not name the model
	Cores  int    `json:"cores"` // logical CPUs that this process may use
	Kernel string `json:"kernel"`
	Go     string `json:"go"` // version
	OS     string `json:"os"`
	Arch   string `json:"arch"`
}

// ThisMachine returns the machine on which the program runs.
func ThisMachine() Machine {
	m := Machine{
		CPU: runtime.GOARCH, Cores: runtime.NumCPU(), Kernel: runtime.GOOS,
		Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH,
	}
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			key, value, _ := strings.Cut(line, ":")
			if strings.TrimSpace(key) == "model name" {
				m.CPU = strings.TrimSpace(value)
				break
			}
		}
	}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = "Linux " + strings.TrimSpace(string(release))
	}
	return m
}

// String describes the machine in one line.
func (m Machine) String() string {
	return fmt.Sprintf("%s, %d cores, %s, %s %s/%s", m.CPU, m.Cores, m.Kernel, m.Go, m.OS, m.Arch)
}
