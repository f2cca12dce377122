package bench

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"testing"
	"testing/fstest"
)

// A fakeCPU is where a CPU of a faked machine is. cache lists the CPUs with which it shares its last cache; empty: the
// machine does not tell.
type fakeCPU struct {
	core, socket, node int
	cache              string
}

// fake returns what the kernel shows of a machine below /sys.
func fake(cpus []fakeCPU) fs.FS {
	sysfs := fstest.MapFS{}
	file := func(path string, content any) {
		sysfs[path] = &fstest.MapFile{Data: fmt.Appendln(nil, content)}
	}
	for i, c := range cpus {
		dir := fmt.Sprintf("devices/system/cpu/cpu%d/", i)
		file(dir+"topology/core_id", c.core)
		file(dir+"topology/physical_package_id", c.socket)
		if c.node >= 0 {
			sysfs[fmt.Sprintf("%snode%d", dir, c.node)] = &fstest.MapFile{Mode: fs.ModeDir}
		}
		if c.cache != "" {
			file(dir+"cache/index0/level", 1)
			file(dir+"cache/index0/shared_cpu_list", i)
			file(dir+"cache/index3/level", 3)
			file(dir+"cache/index3/shared_cpu_list", c.cache)
		}
	}
	return sysfs
}

// The faked machines.
var (
	virtual = []fakeCPU{{core: 0, node: -1}, {core: 1, node: -1}} // without caches and nodes
	single  = []fakeCPU{{}}
	laptop  = []fakeCPU{ // two cores with two hyperthreads each
		{core: 0, cache: "0-3"}, {core: 1, cache: "0-3"}, {core: 0, cache: "0-3"}, {core: 1, cache: "0-3"},
	}
	chiplets = []fakeCPU{ // a socket of two nodes with two caches each, and another socket
		{core: 0, cache: "0"}, {core: 1, cache: "1-2"}, {core: 2, cache: "1-2"}, {core: 3, node: 1, cache: "3"},
		{core: 0, socket: 1, node: 2, cache: "4"},
	}
)

func TestPlace(t *testing.T) {
	for _, c := range []struct {
		name    string
		machine []fakeCPU
		allowed []int
		place   Placement
		want    []int // nil: ErrPlace
		what    string
	}{
		{"virtual", virtual, []int{0, 1}, PlaceCore, []int{0}, "core: CPU 0 alone"},
		{"virtual", virtual, []int{0, 1}, PlaceSiblings, nil, "two hyperthreads of one core"},
		{"virtual", virtual, []int{0, 1}, PlaceSocket, []int{0, 1}, "socket: CPUs 0 and 1, two cores of one socket"},
		{"virtual", virtual, []int{0, 1}, PlaceNUMA, nil, "two NUMA nodes of one socket"},
		{"virtual", virtual, []int{0, 1}, PlaceFar, []int{0, 1}, "far: CPUs 0 and 1, two cores of one socket"},
		{"virtual", virtual, []int{1}, PlaceAuto, []int{1}, "auto: CPU 1 alone"},
		{"virtual", virtual, []int{1}, PlaceSocket, nil, "two cores of one socket, with a cache in common"},
		{"single", single, []int{0}, PlaceFar, []int{0}, "far: CPU 0 alone"},
		{"laptop", laptop, []int{0, 1, 2, 3}, PlaceSiblings, []int{0, 2}, "siblings: CPUs 0 and 2, two hyperthreads of one core"},
		{"laptop", laptop, []int{0, 1, 2, 3}, PlaceAuto, []int{0, 1}, "auto: CPUs 0 and 1, two cores of one socket, with a cache in common"},
		{"laptop", laptop, []int{1, 3}, PlaceAuto, []int{1, 3}, "auto: CPUs 1 and 3, two hyperthreads of one core"},
		{"laptop", laptop, []int{1, 3}, PlaceSocket, nil, ""},
		{"chiplets", chiplets, []int{0, 1, 2, 3, 4}, PlaceAuto, []int{1, 2}, "auto: CPUs 1 and 2, two cores of one socket, with a cache in common"},
		{"chiplets", chiplets, []int{0, 1, 3, 4}, PlaceSocket, []int{0, 1}, "socket: CPUs 0 and 1, two cores of one socket"},
		{"chiplets", chiplets, []int{0, 1, 2, 3, 4}, PlaceNUMA, []int{0, 3}, "numa: CPUs 0 and 3, two NUMA nodes of one socket"},
		{"chiplets", chiplets, []int{0, 4}, PlaceNUMA, []int{0, 4}, "numa: CPUs 0 and 4, two NUMA nodes"},
		{"chiplets", chiplets, []int{0, 1, 2, 3, 4}, PlaceFar, []int{0, 4}, "far: CPUs 0 and 4, two sockets"},
		{"chiplets", chiplets, []int{0, 1, 2}, PlaceFar, []int{0, 1}, "far: CPUs 0 and 1, two cores of one socket, without a cache in common"},
		{"chiplets", chiplets, []int{0, 1, 2, 3, 4}, PlaceSiblings, nil, ""},
	} {
		t.Run(fmt.Sprintf("%s/%d/%s", c.name, c.allowed, c.place), func(t *testing.T) {
			cpus, what, err := c.place.choose(fake(c.machine), c.allowed)
			if c.want == nil {
				if !errors.Is(err, ErrPlace) {
					t.Errorf("CPUs %d, %v, want ErrPlace", cpus, err)
				}
				return
			}
			if err != nil || !slices.Equal(cpus, c.want) || what != c.what {
				t.Errorf("CPUs %d, %q, %v, want %d, %q", cpus, what, err, c.want, c.what)
			}
		})
	}
}

func TestPlaceUnknown(t *testing.T) {
	if _, _, err := PlaceAuto.choose(fstest.MapFS{}, []int{0}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no topology: %v, want fs.ErrNotExist", err)
	}
	broken := fake(single).(fstest.MapFS)
	broken["devices/system/cpu/cpu0/topology/core_id"] = &fstest.MapFile{Data: []byte("x\n")}
	if _, _, err := PlaceAuto.choose(broken, []int{0}); err == nil {
		t.Error("a core without a number: no error")
	}
	if _, err := ParsePlacement("moon"); !errors.Is(err, ErrScenario) {
		t.Errorf("ParsePlacement: %v, want ErrScenario", err)
	}
	if p, err := ParsePlacement("far"); p != PlaceFar || err != nil {
		t.Errorf("ParsePlacement: %s, %v", p, err)
	}
}
