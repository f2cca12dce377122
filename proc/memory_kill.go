package proc

import (
	"bytes"
	"os"
	"path"
	"strconv"
	"sync"

	"github.com/seed-2e7ecdea/mp/internal/sys"
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
	find func() *sys.Cgroups
}

func newCgroups(root string) *cgroups {
	return &cgroups{root, sync.OnceValue(func() *sys.Cgroups { return sys.FindCgroups(os.DirFS(root), "memory") })}
}

var systemCgroups = newCgroups("/")

// count returns the count of the cgroup of process pid. Where both versions are mounted, the memory
// controller belongs to one of them.
func (c *cgroups) count(pid int) killCount {
	for _, g := range c.find().Of(strconv.Itoa(pid)) {
		file := "memory.oom_control"
		if g.V2 {
			file = "memory.events"
		}
		if k, ok := countOf(path.Join(c.root, g.Dir(), file)); ok {
			return k
		}
	}
	return killCount{}
}

// countOf returns the count in file. It reports false if there is none: the cgroup may be gone.
func countOf(file string) (k killCount, ok bool) {
	takenKills.mu.Lock() // so that no kill is taken between the two counts
	defer takenKills.mu.Unlock()
	kills, ok := readKills(file)
	return killCount{file, kills, takenKills.of[file]}, ok
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
