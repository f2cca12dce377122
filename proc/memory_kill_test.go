package proc

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// fakeCgroups makes a root with these files.
func fakeCgroups(t *testing.T, files map[string]string) *cgroups {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		name = filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return newCgroups(root)
}

// events is the memory.events of a cgroup.
func events(kills int) string {
	return fmt.Sprintf("low 0\nhigh 0\nmax 12\noom 3\noom_kill %d\noom_group_kill 7\n", kills)
}

const (
	mount1 = "30 25 0:27 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n"
	mount2 = "31 25 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n"
)

// The count of a process is that of its cgroup, in either version of cgroups.
func TestKillCount(t *testing.T) {
	for _, tt := range []struct {
		name  string
		files map[string]string
		kills int // -1: unknown
	}{
		{"nothing", nil, -1},
		{"version 2", map[string]string{
			"proc/self/mountinfo":                       mount2,
			"proc/7/cgroup":                             "0::/a/b:c\n",
			"sys/fs/cgroup/unified/a/b:c/memory.events": events(5),
		}, 5},
		{"version 1", map[string]string{
			"proc/self/mountinfo":                       mount1,
			"proc/7/cgroup":                             "5:cpu:/x\n4:memory:/a\n0::/y\n",
			"sys/fs/cgroup/memory/a/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 6\n",
		}, 6},
		{"both, memory in version 1", map[string]string{
			"proc/self/mountinfo":                       mount2 + mount1,
			"proc/7/cgroup":                             "4:memory:/a\n0::/a\n",
			"sys/fs/cgroup/memory/a/memory.oom_control": "oom_kill 6\n",
			"sys/fs/cgroup/unified/a/cgroup.procs":      "7\n",
		}, 6},
		{"both, memory in version 2", map[string]string{
			"proc/self/mountinfo":                   mount1 + mount2,
			"proc/7/cgroup":                         "0::/a\n",
			"sys/fs/cgroup/unified/a/memory.events": events(2),
		}, 2},
		{"both, gone in version 1", map[string]string{
			"proc/self/mountinfo":                   mount1 + mount2,
			"proc/7/cgroup":                         "4:memory:/gone\n0::/a\n",
			"sys/fs/cgroup/unified/a/memory.events": events(3),
		}, 3},
		{"both, gone", map[string]string{"proc/self/mountinfo": mount1 + mount2, "proc/7/cgroup": "4:memory:/gone\n0::/a\n"}, -1},
		{"a part is mounted", map[string]string{
			"proc/self/mountinfo":         "31 25 0:28 /docker/1 /cg rw - cgroup2 cgroup2 rw\n",
			"proc/7/cgroup":               "0::/docker/1/w\n",
			"cg/w/memory.events":          events(1),
			"cg/docker/1/w/memory.events": events(9),
		}, 1},
		{"not in the part that is mounted", map[string]string{
			"proc/self/mountinfo": "31 25 0:28 /docker/1 /cg rw - cgroup2 cgroup2 rw\n",
			"proc/7/cgroup":       "0::/other\n",
			"cg/memory.events":    events(1),
		}, -1},
		{"no number", map[string]string{
			"proc/self/mountinfo":                   mount2,
			"proc/7/cgroup":                         "0::/a\n",
			"sys/fs/cgroup/unified/a/memory.events": "oom_kill many\n",
		}, -1},
		{"nonsense", map[string]string{"proc/self/mountinfo": "a\n - \n1 2 3 4 5 - cgroup2\n", "proc/7/cgroup": ":\n"}, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := fakeCgroups(t, tt.files).count(7)
			if known := k.file != ""; known != (tt.kills >= 0) || known && k.kills != uint64(tt.kills) {
				t.Errorf("count is %+v, want %d kills", k, tt.kills)
			}
			if k.took() {
				t.Error("a kill was counted though there was none")
			}
		})
	}
}

// Each kill takes one process, and none that came later.
func TestKillTakesOne(t *testing.T) {
	const name = "sys/fs/cgroup/unified/a/memory.events"
	c := fakeCgroups(t, map[string]string{"proc/self/mountinfo": mount2, "proc/7/cgroup": "0::/a\n", name: events(5)})
	kill := func(total int) {
		if err := os.WriteFile(filepath.Join(c.root, name), []byte(events(total)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := func(what string, k killCount, took bool) {
		t.Helper()
		if k.took() != took {
			t.Errorf("%s: took is %t", what, !took)
		}
	}
	one, two, three := c.count(7), c.count(7), c.count(7)
	want("no kill", one, false)
	kill(6)
	late := c.count(7)
	want("one of three", one, true)
	want("another of three", two, false)
	want("one that came after the kill", late, false)
	kill(8)
	want("two of three", two, true)
	want("three of three", three, true)
	want("one that came after the first kill", late, false)
	later := c.count(7)
	kill(9)
	want("one that came after all", later, true)
	if err := os.Remove(filepath.Join(c.root, name)); err != nil {
		t.Fatal(err)
	}
	want("a cgroup that is gone", later, false)
}
