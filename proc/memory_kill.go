package proc

import (
	"bytes"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
)

// The kernel kills a process by SIGKILL if its cgroup has no more memory, and counts that in the
// cgroup. The exit code alone does not tell it from another SIGKILL. So the count is read when the
// process starts, and again when it has ended by a SIGKILL that this process did not send. The kernel
// counts before it sends the signal.
//
// Several processes may be in one cgroup. Each death for memory takes one of the kills that were
// counted during the life of the process. A kill of a process that is not a child of this one can be
// taken by mistake.

// A killCount is what a cgroup had counted when a process was there.
type killCount struct {
	file  string // of the cgroup, in which the count is; "": unknown
	kills uint64
	taken uint64 // takenKills of file at that time
}

// takenKills counts, by the file of a cgroup, the kills that took a child of this process.
var takenKills = struct {
	mu sync.Mutex
	of map[string]uint64
}{of: make(map[string]uint64)}

// countKills returns the count of the cgroup in which process pid is.
func countKills(pid int) killCount { return systemCgroups.count(pid) }

// took reports whether one of the kills since k took a process that has ended by SIGKILL. If it
// reports true, that kill takes no other process.
func (k killCount) took() bool {
	if k.file == "" {
		return false
	}
	now, ok := readKills(k.file)
	takenKills.mu.Lock()
	defer takenKills.mu.Unlock()
	if !ok || now-k.kills <= takenKills.of[k.file]-k.taken {
		return false
	}
	takenKills.of[k.file]++
	return true
}

// cgroups finds the cgroups of processes that have a count of kills.
type cgroups struct {
	root string // above proc and the mount points: "/", but for tests

	once   sync.Once
	mounts []cgroupMount
}

// A cgroupMount is where a hierarchy of cgroups is mounted.
type cgroupMount struct {
	controller string // "memory" in version 1, "" in version 2
	root       string // the cgroup that is mounted
	dir        string
	file       string // in which each cgroup has its count
}

var systemCgroups = &cgroups{root: "/"}

// count returns the count of the cgroup of process pid. Where both versions are mounted, the memory
// controller belongs to one of them.
func (c *cgroups) count(pid int) killCount {
	c.once.Do(c.findMounts)
	if len(c.mounts) == 0 {
		return killCount{}
	}
	text, _ := os.ReadFile(path.Join(c.root, "proc", strconv.Itoa(pid), "cgroup"))
	for _, m := range c.mounts {
		for line := range strings.Lines(string(text)) {
			fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3) // number, controllers, path
			if len(fields) != 3 || fields[1] != m.controller {
				continue
			}
			below, ok := strings.CutPrefix(fields[2], strings.TrimSuffix(m.root, "/"))
			if !ok {
				continue
			}
			k := killCount{file: path.Join(c.root, m.dir, below, m.file)}
			takenKills.mu.Lock() // so that no kill is taken between the two counts
			defer takenKills.mu.Unlock()
			if k.kills, ok = readKills(k.file); !ok {
				continue
			}
			k.taken = takenKills.of[k.file]
			return k
		}
	}
	return killCount{}
}

// findMounts reads where the cgroups are mounted, those with the memory controller of version 1 first.
func (c *cgroups) findMounts() {
	text, _ := os.ReadFile(path.Join(c.root, "proc/self/mountinfo"))
	var second []cgroupMount
	for line := range strings.Lines(string(text)) {
		mount, system, ok := strings.Cut(line, " - ")
		fields, kind := strings.Fields(mount), strings.Fields(system)
		if !ok || len(fields) < 5 || len(kind) < 3 {
			continue
		}
		m := cgroupMount{root: fields[3], dir: fields[4]}
		switch {
		case kind[0] == "cgroup2":
			m.file = "memory.events"
			second = append(second, m)
		case kind[0] == "cgroup" && contains(kind[2], "memory"):
			m.controller, m.file = "memory", "memory.oom_control"
			c.mounts = append(c.mounts, m)
		}
	}
	c.mounts = append(c.mounts, second...)
}

// contains reports whether word is in list, which has commas between words.
func contains(list, word string) bool {
	for w := range strings.SplitSeq(list, ",") {
		if w == word {
			return true
		}
	}
	return false
}

// readKills reads the number of processes of a cgroup that the kernel has killed for memory.
func readKills(file string) (kills uint64, ok bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	for line := range bytes.Lines(text) {
		if value, found := bytes.CutPrefix(line, []byte("oom_kill ")); found {
			kills, err = strconv.ParseUint(string(bytes.TrimSpace(value)), 10, 64)
			return kills, err == nil
		}
	}
	return 0, false
}
