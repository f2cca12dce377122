package shm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// The segments to which this process is attached: what is decoded from a
// handle joins the attachment that is there.
var registry struct {
	sync.Mutex
	segments map[ID][]registered
}

// registered is an attachment and the Segment that made it. Segments that were
// decoded share the attachment, and any of them may close it.
type registered struct {
	s *Segment
	a *attachment
}

func register(s *Segment, a *attachment) {
	registry.Lock()
	defer registry.Unlock()
	if registry.segments == nil {
		registry.segments = make(map[ID][]registered)
	}
	registry.segments[a.id] = append(registry.segments[a.id], registered{s, a})
}

func unregister(a *attachment) {
	registry.Lock()
	defer registry.Unlock()
	left := slices.DeleteFunc(registry.segments[a.id], func(r registered) bool { return r.a == a })
	if len(left) == 0 {
		delete(registry.segments, a.id)
	} else {
		registry.segments[a.id] = left
	}
}

// attachmentsOf returns this process's attachments to the segment.
func attachmentsOf(id ID) []*attachment {
	registry.Lock()
	defer registry.Unlock()
	var all []*attachment
	for _, r := range registry.segments[id] {
		all = append(all, r.a)
	}
	return all
}

// Find returns the segment to which this process is attached that has the
// given id, the one attached first if there are several.
func find(id ID) (*Segment, bool) {
	registry.Lock()
	defer registry.Unlock()
	all := registry.segments[id]
	if len(all) == 0 {
		return nil, false
	}
	return all[0].s, true
}

var reaching sync.Mutex

// Reach returns the segment that h names, or in which the object that h names lies. If this process
// is not attached to it, Reach attaches: by its name, or through a process of the same user and PID
// namespace that has it open. It fails with ErrUnreachable, or as Open does.
func Reach(h Handle) (*Segment, error) {
	if h.Segment == (ID{}) {
		return nil, fmt.Errorf("shm: %w: it names nothing", ErrHandle)
	}
	reaching.Lock()
	defer reaching.Unlock()
	if s, ok := find(h.Segment); ok {
		return s, nil
	}
	for f := range h.candidates() {
		if _, id, err := readHeader(f); err != nil || id != h.Segment {
			f.Close()
			continue
		}
		s, err := openFile(f, nameOf(f), WaitAdaptive)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("shm: segment %v: %w", h.Segment, err)
		}
		return s, nil
	}
	return nil, fmt.Errorf("shm: %w: %v", ErrUnreachable, h.Segment)
}

// candidates returns files that may be the handle's segment: first the hint,
// then the named ones, then what other processes have open under the label.
func (h Handle) candidates() func(yield func(*os.File) bool) {
	return func(yield func(*os.File) bool) {
		if f, err := sys.OpenOther(int(h.PID), int(h.FD)); err == nil && !yield(f) {
			return
		}
		names, _ := os.ReadDir(dir)
		for _, n := range names {
			if f, err := sys.OpenNoFollow(filepath.Join(dir, n.Name())); err == nil && !yield(f) {
				return
			}
		}
		label := "/memfd:" + memfdLabel(h.Segment)
		processes, _ := os.ReadDir("/proc")
		for _, p := range processes {
			pid, err := strconv.Atoi(p.Name())
			if err != nil {
				continue
			}
			fds := filepath.Join("/proc", p.Name(), "fd")
			open, _ := os.ReadDir(fds)
			for _, d := range open {
				to, err := os.Readlink(filepath.Join(fds, d.Name()))
				if err != nil || !strings.HasPrefix(to, label) {
					continue
				}
				fd, err := strconv.Atoi(d.Name())
				if err != nil {
					continue
				}
				if f, err := sys.OpenOther(pid, fd); err == nil && !yield(f) {
					return
				}
			}
		}
	}
}
