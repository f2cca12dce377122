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

// registry has the segments to which this process is attached. What this process decodes from a
// handle uses the attachment in the registry, if there is one.
var registry struct {
	sync.Mutex
	segments map[ID][]registered
}

// A registered is an attachment and the Segment that made it. Decoded Segments share the
// attachment, and any of them may close it.
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

// find returns the segment with that ID to which this process is attached. If it is attached more
// than once, find returns the first attachment.
func find(id ID) (*Segment, bool) {
	registry.Lock()
	defer registry.Unlock()
	all := registry.segments[id]
	if len(all) == 0 {
		return nil, false
	}
	return all[0].s, true
}

// reaching makes concurrent calls of Reach for one segment share one attachment.
var reaching sync.Mutex

// Reach returns the segment that h names, or in which the object that h names lies. If this process
// is not attached to it, Reach attaches it: by the segment's name, or through a living process of
// the same user and PID namespace that has the segment open. Reach fails with
//
//   - ErrHandle, if h is zero,
//   - ErrUnreachable, if the segment has no name and no such process has it open,
//   - ErrVersion, ErrTruncated, ErrCorrupt, ErrParties or ErrNoSpace, as Open does.
func Reach(h Handle) (*Segment, error) {
	s, err := reach(h)
	if err != nil {
		return nil, fmt.Errorf("shm: reach %v %v: %w", h.Kind, h, err)
	}
	return s, nil
}

func reach(h Handle) (*Segment, error) {
	if h.Segment == (ID{}) {
		return nil, fmt.Errorf("%w: it is zero, as that of a closed segment or object", ErrHandle)
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
			return nil, err
		}
		return s, nil
	}
	return nil, fmt.Errorf("%w: it has no name, and no process of this user and PID namespace has it open: "+
		"keep it open in one, or make it with a name", ErrUnreachable)
}

// candidates returns an iterator over the files that may be the handle's segment, in this order:
// the file of the hint, all files in dir, and the files that processes have open under the
// segment's label.
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
