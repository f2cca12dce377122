package sys

import (
	"slices"
	"testing"
	"testing/fstest"
)

// TestCgroups reads the texts of systems with version 1, version 2 and both, as they are and as a container sees them.
func TestCgroups(t *testing.T) {
	const (
		cpu     = "30 20 0:26 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
		cpuset  = "31 20 0:27 / /sys/fs/cgroup/cpuset rw,nosuid shared:10 - cgroup cgroup rw,cpuset\n"
		memory  = "32 20 0:28 / /sys/fs/cgroup/memory rw,nosuid shared:11 - cgroup cgroup rw,memory\n"
		named   = "33 20 0:29 / /sys/fs/cgroup/systemd rw,nosuid - cgroup cgroup rw,name=systemd\n"
		unified = "34 20 0:30 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
		only    = "35 20 0:31 / /sys/fs/cgroup rw,nosuid shared:4 master:1 - cgroup2 cgroup2 rw,nsdelegate\n"
		disk    = "20 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
	)
	for _, c := range []struct {
		name, controller, mounts, own string
		want                          []string // directories
		v2                            []bool   // by group
	}{
		{"version 1", "cpu", disk + cpuset + cpu + memory, "4:memory:/m\n2:cpuset:/s\n1:cpu,cpuacct:/a/b\n",
			[]string{"sys/fs/cgroup/cpu,cpuacct/a/b"}, []bool{false}},
		{"version 1, another controller", "memory", disk + cpuset + cpu + memory, "4:memory:/m\n2:cpuset:/s\n1:cpu,cpuacct:/a/b\n",
			[]string{"sys/fs/cgroup/memory/m"}, []bool{false}},
		{"version 2", "memory", disk + only, "0::/user.slice/a:b.scope\n",
			[]string{"sys/fs/cgroup/user.slice/a:b.scope"}, []bool{true}},
		{"hybrid", "cpu", disk + unified + cpu + memory + named, "9:name=systemd:/init\n4:memory:/m\n1:cpu,cpuacct:/\n0::/init\n",
			[]string{"sys/fs/cgroup/cpu,cpuacct", "sys/fs/cgroup/unified/init"}, []bool{false, true}},
		{"hybrid, controller in version 2", "memory", disk + cpu + unified, "1:cpu,cpuacct:/c\n0::/init\n",
			[]string{"sys/fs/cgroup/unified/init"}, []bool{true}},
		{"container, version 1", "cpu", "30 20 0:26 /docker/1 /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n", "1:cpu:/docker/1/a\n",
			[]string{"sys/fs/cgroup/cpu/a"}, []bool{false}},
		{"container, version 2", "cpu", "30 20 0:26 /docker/1 /cg ro - cgroup2 cgroup2 rw\n", "0::/docker/1\n", []string{"cg"}, []bool{true}},
		{"container, another one's group", "cpu", "30 20 0:26 /docker/1 /cg ro - cgroup2 cgroup2 rw\n", "0::/docker/12\n", nil, nil},
		{"above the name space", "cpu", only, "0::/../a\n", nil, nil},
		{"two dots in a name", "cpu", only, "0::/a..b\n", []string{"sys/fs/cgroup/a..b"}, []bool{true}},
		{"a space in the path", "cpu", `30 20 0:26 / /my\040groups rw - cgroup2 cgroup2 rw` + "\n", "0::/a b\n", []string{"my groups/a b"}, []bool{true}},
		{"no optional field", "cpu", "30 20 0:26 / /cg rw - cgroup2 none rw\n", "0::/\n", []string{"cg"}, []bool{true}},
		{"none", "cpu", disk, "", nil, nil},
		{"nonsense", "cpu", "a\n - \n1 2 3 4 5 - cgroup2\n", ":\n0:\n", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := fstest.MapFS{"proc/self/mountinfo": {Data: []byte(c.mounts)}, "proc/7/cgroup": {Data: []byte(c.own)}}
			var dirs []string
			var v2 []bool
			for _, g := range FindCgroups(root, c.controller).Of("7") {
				dirs, v2 = append(dirs, g.Dir()), append(v2, g.V2)
			}
			if !slices.Equal(dirs, c.want) || !slices.Equal(v2, c.v2) {
				t.Errorf("%q, of version 2 %t; want %q, %t", dirs, v2, c.want, c.v2)
			}
		})
	}
	if groups := FindCgroups(fstest.MapFS{}, "cpu").Of("self"); groups != nil {
		t.Errorf("%v without /proc", groups)
	}
}

// TestCgroupUp goes from a group to the mount point, and not above it.
func TestCgroupUp(t *testing.T) {
	for _, c := range []struct {
		group Cgroup
		want  []string
	}{
		{Cgroup{mount: "sys/cg", path: "/a/b"}, []string{"sys/cg/a/b", "sys/cg/a", "sys/cg"}},
		{Cgroup{mount: "sys/cg", path: "/"}, []string{"sys/cg"}},
	} {
		if got := slices.Collect(c.group.Up()); !slices.Equal(got, c.want) {
			t.Errorf("%v: %q, want %q", c.group, got, c.want)
		}
	}
}
