package main

import (
	"io/fs"
	"math"
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
	all := probes{cpus: []int{0, 1, 2, 3}, quota: math.Inf(1), shmSize: 8 << 30, shmFree: 7 << 30, python: "Python 3.12.1"}
	none := probes{
		futexWaitv: errMissing, barrier: errMissing, memfd: errMissing, pidfd: errMissing, ptrace: errMissing, messageQueue: errMissing,
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
		if f.What != "topology" && f.What != "/proc" && (f.OK || f.Means == "" || f.Found == "") {
			t.Errorf("%+v, want it not to be ok, and to say what follows", f)
		}
	}
	for _, c := range []struct {
		root fs.FS
		want string
	}{
		{files(nil), "mount -t proc"},
		{files(map[string]string{"proc/sys/kernel/osrelease": "5.15.0"}), "before 5.16"},
		{files(map[string]string{"proc/sys/kernel/osrelease": "4.19.0"}), "before 5.10"},
	} {
		if text := findingsText(examine(c.root, none)); !strings.Contains(text, c.want) {
			t.Errorf("want %q in\n%s", c.want, text)
		}
	}
}

// TestQuota reads the quotas of both versions of control groups, of the groups above, and as a container sees them.
func TestQuota(t *testing.T) {
	const (
		v1    = "30 20 0:26 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct"
		v2    = "30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate"
		part  = "30 20 0:26 /docker/1 /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu"
		other = "31 20 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"
	)
	for _, c := range []struct {
		name, mounts, own string
		files             map[string]string
		want              float64
	}{
		{"none", other, "4:memory:/a", nil, math.Inf(1)},
		{"v1", other + "\n" + v1, "4:memory:/\n1:cpu,cpuacct:/a", map[string]string{"cpu,cpuacct/a/cpu.cfs_quota_us": "50000", "cpu,cpuacct/a/cpu.cfs_period_us": "100000"}, 0.5},
		{"v1, none", v1, "1:cpu,cpuacct:/a", map[string]string{"cpu,cpuacct/a/cpu.cfs_quota_us": "-1", "cpu,cpuacct/a/cpu.cfs_period_us": "100000"}, math.Inf(1)},
		{"v1, container", part, "1:cpu:/docker/1", map[string]string{"cpu/cpu.cfs_quota_us": "150000", "cpu/cpu.cfs_period_us": "100000"}, 1.5},
		{"v2", v2, "0::/a/b", map[string]string{"a/b/cpu.max": "max 100000", "a/cpu.max": "25000 100000"}, 0.25},
	} {
		m := fstest.MapFS{"proc/self/mountinfo": {Data: []byte(c.mounts + "\n")}, "proc/self/cgroup": {Data: []byte(c.own + "\n")}}
		for name, text := range c.files {
			m["sys/fs/cgroup/"+name] = &fstest.MapFile{Data: []byte(text + "\n")}
		}
		if got := quotaOf(m); got != c.want {
			t.Errorf("%s: %g CPUs, want %g", c.name, got, c.want)
		}
	}
}
