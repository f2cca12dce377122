package shm

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/seed-2e7ecdea/mp/internal/fence"
	"github.com/seed-2e7ecdea/mp/internal/party"
)

// A grant is a party of a segment for a child that is about to be started. The party is alive, and
// holds what it was given, until the last descriptor of the grant's file is closed. This process
// has the first descriptor, and closes it when the child has one. So the party is alive before the
// child runs, and dies when no process has a descriptor any more, whichever process is killed.
type grant struct {
	a    *attachment
	file *os.File
	id   party.ID
}

// grant claims a party for a child to be started, and makes it a holder of these objects of the
// segment. The child gets File and calls adoptParty. grant fails with ErrParties, with ErrClosed,
// with fs.ErrNotExist if an object has been removed, with ErrHandle if a handle is not of this
// segment, and with errors.ErrUnsupported on a heap segment.
func (s *Segment) grant(holds []Handle) (*grant, error) {
	a, err := s.attached()
	if err == nil {
		var g *grant
		if g, err = a.grant(holds); err == nil {
			return g, nil
		}
	}
	return nil, fmt.Errorf("shm: pass %s to a child: %w", s.title(), orClosed(err, errItClosed))
}

func (a *attachment) grant(holds []Handle) (*grant, error) {
	if a.mem.file == nil {
		return nil, fmt.Errorf("%w: a heap segment is the memory of one process", errors.ErrUnsupported)
	}
	f, err := a.reopen()
	if err != nil {
		return nil, err
	}
	id, err := a.table.ClaimScanned(party.FileLocks{File: f}, 0)
	if err != nil {
		return nil, errors.Join(a.orFull(err), f.Close())
	}
	g := &grant{a: a, file: f, id: id}
	// The child reads the ID of its party from the position of the file, which has no other use.
	if _, err := f.Seek(int64(id), io.SeekStart); err != nil {
		return nil, errors.Join(err, g.Cancel())
	}
	for _, h := range holds {
		if err := a.holdFor(id, h); err != nil {
			return nil, errors.Join(orClosed(a.unlessClosed(err), errItClosed), g.Cancel())
		}
	}
	if a.room.Closed() {
		return nil, errors.Join(errItClosed, g.Cancel())
	}
	return g, nil
}

// holdFor makes the party id, which is alive but not running yet, a holder of the object that h
// names.
func (a *attachment) holdFor(id party.ID, h Handle) error {
	if h.Kind == KindSegment {
		return nil
	}
	if h.Segment != a.id || h.Entry >= uint32(a.used()) || h.Role >= roles {
		return fmt.Errorf("%w of an object of this segment: %v", ErrHandle, h)
	}
	// If the object is removed meanwhile, the bits only keep its memory in use until the child
	// ends.
	e := &a.entries[h.Entry]
	e.hold(0, id.Line())
	if e.state.Load() != stateReady || e.serial.Load() != h.Serial {
		e.drop(0, id.Line())
		return fmt.Errorf("%v %v: %w", h.Kind, h, errObjectRemoved)
	}
	if h.Role != 0 {
		e.hold(int(h.Role), id.Line())
		a.table.Wake() // as Hold does
	}
	return nil
}

// File returns the file that the child gets. The grant owns it: do not close it.
func (g *grant) File() *os.File { return g.file }

// Started records that the child is process pid of this PID namespace.
func (g *grant) Started(pid int) { g.a.table.Started(g.id, pid) }

// Release closes this process's descriptor of File. The child must have one by then.
func (g *grant) Release() error {
	err := g.file.Close()
	// If the child has ended, the other parties may have looked when this descriptor still held the
	// line's lock. Wake makes them look again.
	g.a.table.Wake()
	return err
}

// Ended announces the death of the party, whose process has ended. If another process still has a
// descriptor of File, the party is alive, and Ended does nothing.
func (g *grant) Ended() { g.a.table.Announce(g.id) }

// Cancel ends the party. It is called if no child was started, or if the child has not got the
// file.
func (g *grant) Cancel() error {
	g.a.table.Leave(g.id)
	return g.file.Close()
}

// adoptParty attaches a child to the segment, as the party of the grant whose file is f. It owns f.
func adoptParty(f *os.File) (*Segment, error) {
	s, err := adopt(f)
	if err != nil {
		return nil, fmt.Errorf("shm: attach a child by its parent's grant: %w", err)
	}
	return s, nil
}

func adopt(f *os.File) (*Segment, error) {
	s, id, err := readHeader(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	at, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	mem, err := mapMemory(f, s.total)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	locks := party.FileLocks{File: f}
	a := newAttachment(mem, s, id, locks, WaitAdaptive)
	me := party.ID(at)
	if at != int64(me) || a.table.Dead(me) {
		return nil, errors.Join(fmt.Errorf("%w of a party: %d", ErrHandle, at), mem.giveUp())
	}
	if ok, err := locks.TryLock(me.Line()); err != nil || !ok {
		return nil, errors.Join(fmt.Errorf("%w: the party %d is not this file's", ErrHandle, me), err, mem.giveUp())
	}
	fence.Prepare()
	a.table.Take(me)
	return newSegment(nameOf(f), a), nil
}
