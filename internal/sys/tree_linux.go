package sys

import (
	"bytes"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Suspend is the signal that stops a process until it is continued or killed.
const Suspend = unix.SIGSTOP

// A Tree is the processes below one process: its children, and theirs. It holds a pidfd of each, so
// that no signal reaches a process that has got the id of another.
type Tree struct {
	pids    map[int]bool
	members []member
}

type member struct{ pid, pidfd int }

// Below returns the processes that are below root now. Processes whose parent has ended are not
// found, and neither are those that this process may not see.
func Below(root int) *Tree {
	t := &Tree{pids: map[int]bool{root: true}}
	t.grow()
	return t
}

// grow adds the processes below those of t that t does not have, and returns them.
func (t *Tree) grow() (added []member) {
	children := make(map[int][]int)
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			if parent, ok := parentOf(pid); ok {
				children[parent] = append(children[parent], pid)
			}
		}
	}
	var parents []int
	for pid := range t.pids {
		parents = append(parents, pid)
	}
	for len(parents) > 0 {
		parent := parents[0]
		parents = parents[1:]
		for _, pid := range children[parent] {
			if t.pids[pid] {
				continue
			}
			pidfd, err := unix.PidfdOpen(pid, 0)
			if err != nil {
				continue // it has ended
			}
			// The id may have gone to another process before the pidfd was opened.
			if now, ok := parentOf(pid); !ok || now != parent {
				closeFD(pidfd)
				continue
			}
			t.pids[pid] = true
			m := member{pid, pidfd}
			t.members = append(t.members, m)
			added = append(added, m)
			parents = append(parents, pid)
		}
	}
	return added
}

// parentOf returns the process id of pid's parent.
func parentOf(pid int) (parent int, ok bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, false
	}
	// The second field is the name in parentheses, which may contain anything.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 2 {
		return 0, false
	}
	parent, err = strconv.Atoi(string(fields[1]))
	return parent, err == nil
}

// Kill kills the processes of t. Before that it stops them, and finds what they have started
// meanwhile.
func (t *Tree) Kill() {
	for added := t.members; len(added) > 0; added = t.grow() {
		signalAll(added, unix.SIGSTOP)
	}
	signalAll(t.members, unix.SIGKILL)
	t.Forget()
}

// Forget closes the pidfds.
func (t *Tree) Forget() {
	for _, m := range t.members {
		closeFD(m.pidfd)
	}
	t.members = nil
}

// signalAll sends sig to all of list. An error means that the process has ended, or is not this
// user's.
func signalAll(list []member, sig syscall.Signal) {
	for _, m := range list {
		_ = unix.PidfdSendSignal(m.pidfd, sig, nil, 0)
	}
}
