package main

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
)

// TestDoctor examines systems that have everything, and nothing.
func TestDoctor(t *testing.T) {
	files := func(list map[string]string) fs.FS {
		m := fstest.MapFS{}
		for name, text := range list {
			m[name] = &fstest.MapFile{Data: []byte(text + "\n")}
		}
		return m
	}
	good := files(map[string]string{
		"proc/sys/kernel/osrelease": "6.1.0-18-amd64",
		"proc/self/status":          "Name:\tx\nSeccomp:\t0",
		"proc/cpuinfo":              "flags : fpu sse",
		"sys/kernel/mm/transparent_hugepage/shmem_enabled":          "always [within_size] advise never deny force",
		"sys/devices/system/cpu/cpu0/topology/thread_siblings_list": "0,8",
		"sys/devices/system/cpu/cpu0/cpufreq/scaling_governor":      "performance",
		"sys/devices/system/node/node0/x":                           "",
		"sys/devices/system/node/node1/x":                           "",
		"proc/sys/kernel/yama/ptrace_scope":                         "1",
	})
	bad := files(map[string]string{
		"proc/sys/kernel/osrelease": "5.15.0-rc1",
		"proc/self/status":          "Seccomp:\t2",
		"proc/cpuinfo":              "flags : fpu hypervisor sse",
		"sys/kernel/mm/transparent_hugepage/shmem_enabled":     "always within_size advise [never] deny force",
		"sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave",
		"proc/sys/kernel/yama/ptrace_scope":                    "3",
	})
	all := probes{cpus: []int{0, 1, 2, 3}, quota: 4, shmSize: 8 << 30, shmFree: 7 << 30, python: "Python 3.12.1"}
	none := probes{
		futexWaitv: errMissing, barrier: errMissing, memfd: errMissing, pidfd: errMissing, messageQueue: errMissing,
		cpus: []int{0, 1}, quota: 1, shmSize: 1 << 20, shmFree: 1 << 20,
	}
	for _, f := range examine(good, all) {
		if !f.OK || f.Means != "" {
			t.Errorf("%+v, want it to be ok", f)
		}
	}
	text := findingsText(examine(good, all))
	if !strings.Contains(text, "threads of CPU 0's core: 0,8; memory nodes: 2") || !strings.HasSuffix(text, ", 0 not\n") {
		t.Errorf("printed\n%s", text)
	}
	for _, f := range examine(bad, none) {
		if f.What != "topology" && (f.OK || f.Means == "" || f.Found == "") {
			t.Errorf("%+v, want it not to be ok, and to say what follows", f)
		}
	}
	for _, c := range []struct {
		root fs.FS
		want string
	}{
		{files(nil), "mp needs Linux"},
		{files(map[string]string{"proc/sys/kernel/osrelease": "5.15.0"}), "before 5.16"},
		{files(map[string]string{"proc/sys/kernel/osrelease": "4.19.0"}), "before 5.10"},
	} {
		if text := findingsText(examine(c.root, none)); !strings.Contains(text, c.want) {
			t.Errorf("want %q in\n%s", c.want, text)
		}
	}
}
