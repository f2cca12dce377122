package shm

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/seed-2e7ecdea/mp/internal/fence"
	"github.com/seed-2e7ecdea/mp/internal/party"
)

// A Grant is a party of a segment for a process that is about to be started.
// From its making on the party is alive, and holds what it was given, until
// the last descriptor of its file is closed. This process holds the first until
// the child has one of its own. So a child counts before it runs, whichever of the
// two is killed when.
type grant struct {
	a    *attachment
	file *os.File
	id   party.ID
}

// Grant claims a party for a process to be started, which is to hold the
// named objects of the segment. The child gets File and calls Adopt. It
// fails with ErrParties, ErrClosed, or fs.ErrNotExist if an object is gone.
func (s *Segment) grant(holds []Handle) (*grant, error) {
	a, err := s.attached()
	if err != nil {
		return nil, err
	}
	g, err := a.grant(holds)
	if err != nil {
		return nil, fmt.Errorf("shm: grant: %w", err)
	}
	return g, nil
}

func (a *attachment) grant(holds []Handle) (*grant, error) {
	if a.mem.file == nil {
		return nil, fmt.Errorf("%w: a heap segment is of one process", errors.ErrUnsupported)
	}
	f, err := a.reopen()
	if err != nil {
		return nil, err
	}
	id, err := a.table.ClaimScanned(party.FileLocks{File: f}, 0)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	g := &grant{a: a, file: f, id: id}
	// The description's file position, which nothing else uses, tells the child
	// its party.
	if _, err := f.Seek(int64(id), io.SeekStart); err != nil {
		return nil, errors.Join(err, g.Cancel())
	}
	for _, h := range holds {
		if err := a.holdFor(id, h); err != nil {
			return nil, errors.Join(a.unlessClosed(err), g.Cancel())
		}
	}
	if err := a.unlessClosed(nil); err != nil {
		return nil, errors.Join(err, g.Cancel())
	}
	return g, nil
}

// holdFor makes the party id, alive but not running yet, a holder of what h
// names.
func (a *attachment) holdFor(id party.ID, h Handle) error {
	if h.Kind == KindSegment {
		return nil
	}
	if h.Segment != a.id || h.Entry >= uint32(a.used()) || h.Role >= roles {
		return fmt.Errorf("%w: %v is not of this segment", ErrHandle, h)
	}
	// If the object goes meanwhile the bits that were set say no more than that
	// its space is used until the child ends.
	e := &a.entries[h.Entry]
	e.hold(0, id.Line())
	if e.state.Load() != stateReady || e.serial.Load() != h.Serial {
		e.drop(0, id.Line())
		return fmt.Errorf("%v: %w", h, os.ErrNotExist)
	}
	if h.Role != 0 {
		e.hold(int(h.Role), id.Line())
		a.table.Wake() // as Hold does
	}
	return nil
}

// File returns the file for the child to get. It is the grant's: do not
// close it.
func (g *grant) File() *os.File { return g.file }

// Started says that the child runs as process pid of this PID namespace.
func (g *grant) Started(pid int) { g.a.table.Started(g.id, pid) }

// Release says that the child has a descriptor of File, and closes this process's.
func (g *grant) Release() error {
	err := g.file.Close()
	// If the child has ended meanwhile, other parties found the line locked when they
	// saw its end. They look again.
	g.a.table.Wake()
	return err
}

// Cancel says that no child was started, or that it never had the file, and ends the party.
func (g *grant) Cancel() error {
	g.a.table.Leave(g.id)
	return g.file.Close()
}

// Adopt attaches the process that got f to the segment, as the party of
// the grant. It owns f.
func adoptParty(f *os.File) (*Segment, error) {
	s, err := adopt(f)
	if err != nil {
		return nil, fmt.Errorf("shm: adopt: %w", err)
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
		return nil, errors.Join(fmt.Errorf("%w: no party %d", ErrHandle, at), mem.giveUp())
	}
	if ok, err := locks.TryLock(me.Line()); err != nil || !ok {
		return nil, errors.Join(fmt.Errorf("%w: the party's lock is not this file's", ErrHandle), err, mem.giveUp())
	}
	fence.Prepare()
	a.table.Take(me)
	return newSegment(nameOf(f), a), nil
}
