package proc

import (
	"errors"
	"fmt"
	"os"

	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/shm"
)

// grants are the parties claimed for a child, one in each segment of which its
// input holds handles.
type grants []object.Grant

// grantAll claims the parties. A handle of a segment to which this process is not
// attached is passed on as it is. An object of such a segment is os.ErrClosed.
func grantAll(seen []sighting) (grants, error) {
	var order []shm.ID
	holds := make(map[shm.ID][]shm.Handle)
	attached := make(map[shm.ID]*shm.Segment)
	for _, s := range seen {
		id := s.handle.Segment
		if attached[id] == nil {
			seg, ok := object.Find(id)
			if !ok && s.object {
				return nil, fmt.Errorf("a %v of the input was closed after New: %w", s.handle.Kind, os.ErrClosed)
			}
			if !ok {
				continue
			}
			attached[id] = seg
			order = append(order, id)
		}
		holds[id] = append(holds[id], s.handle)
	}
	var g grants
	for _, id := range order {
		one, err := object.NewGrant(attached[id], distinct(holds[id])...)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("segment %v: %w", id, err), g.cancel())
		}
		g = append(g, one)
	}
	return g, nil
}

// distinct returns the handles that name different things.
func distinct(list []shm.Handle) []shm.Handle {
	type name struct {
		kind                shm.Kind
		role, entry, serial uint32
	}
	var kept []shm.Handle
	seen := make(map[name]bool)
	for _, h := range list {
		if n := (name{h.Kind, h.Role, h.Entry, h.Serial}); !seen[n] {
			seen[n] = true
			kept = append(kept, h)
		}
	}
	return kept
}

// files returns what the child is to get, in order.
func (g grants) files() []*os.File {
	var list []*os.File
	for _, one := range g {
		list = append(list, one.File())
	}
	return list
}

// started tells the segments that the child runs, as pid.
func (g grants) started(pid int) {
	for _, one := range g {
		one.Started(pid)
	}
}

// release says that the child has the files.
func (g grants) release() {
	for _, one := range g {
		_ = one.Release() // the descriptor is gone even if closing it fails
	}
}

// ended says that the child has ended.
func (g grants) ended() {
	for _, one := range g {
		one.Ended()
	}
}

// cancel gives the parties back: the child was not started, or did not live to get them.
func (g grants) cancel() error {
	var errs []error
	for _, one := range g {
		errs = append(errs, one.Cancel())
	}
	return errors.Join(errs...)
}

// adoptAll makes this process the party that its parent claimed for it, in each
// of these segments.
func adoptAll(files []*os.File) error {
	for _, f := range files {
		if _, err := object.Adopt(f); err != nil {
			return fmt.Errorf("segment of the input: %w", err)
		}
	}
	return nil
}
