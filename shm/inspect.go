package shm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/party"
	"github.com/seed-2e7ecdea/mp/internal/sys"
	"github.com/seed-2e7ecdea/mp/internal/view"
)

// An Inspection is what Inspect has found in a segment.
type Inspection struct {
	Info
	Parties []PartyInfo
	Deaths  uint32 // parties that have left or died since the segment was made, modulo 2^32
	Objects []ObjectStats
}

// A PartyInfo describes an attachment of a process to a segment. A dead one is listed until another
// attachment takes its place in the party table.
type PartyInfo struct {
	ID      uint32 // never used twice in a segment
	PID     int    // in the process's own PID namespace; 0: not known yet
	Program string // the name of the file that it runs; "" if it is dead or in another PID namespace
	Alive   bool
}

// An ObjectStats describes an object of a segment, with its statistics.
type ObjectStats struct {
	ObjectInfo
	Entry   int    // its place in the directory
	Serial  uint32 // the number of objects that have had this place
	Holders int    // living parties that have it open
	Stats   Stats
}

// Inspect reads what is in the named segment, without attaching to it and without stopping any
// process. The segment may be in use, damaged or hostile: Inspect trusts nothing that it reads, and
// does not block. It sees the objects that exist during the whole call. It fails with
// fs.ErrNotExist, ErrName, ErrForeign, ErrVersion, ErrTruncated and ErrCorrupt as Open does.
func Inspect(name string) (*Inspection, error) {
	p, err := path(name)
	if err == nil {
		var f *os.File
		if f, err = openPath(p); err == nil {
			var in *Inspection
			in, err = inspectFile(f)
			f.Close()
			if err == nil {
				in.Name = name
				return in, nil
			}
		}
	}
	return nil, fmt.Errorf("shm: inspect segment %.300q: %w", name, err)
}

// Inspect is like the function Inspect, for a segment to which this process is attached. It fails
// with ErrClosed.
func (s *Segment) Inspect() (*Inspection, error) {
	a, err := s.attached()
	if err != nil {
		return nil, s.fail("Inspect", err)
	}
	var in *Inspection
	if a.mem.file == nil {
		r := &reading{from: heapReader(a.mem.bytes), shape: a.shape, alive: func(line int) (bool, error) { return a.table.Alive(line), nil }}
		in, err = r.inspect()
	} else {
		var f *os.File
		if f, err = a.reopen(); err == nil {
			in, err = inspectFile(f)
			f.Close()
		}
	}
	if err = a.unlessClosed(err); err != nil {
		return nil, s.fail("Inspect", err)
	}
	in.Name, in.ID, in.Size = s.Name(), a.id, a.shape.total-a.shape.base
	return in, nil
}

func inspectFile(f *os.File) (*Inspection, error) {
	s, id, err := readHeader(f)
	if err != nil {
		return nil, err
	}
	locks := party.FileLocks{File: f}
	r := &reading{from: f, shape: s, alive: func(line int) (bool, error) { return locks.HeldByOther(line, 1) }}
	in, err := r.inspect()
	if err != nil {
		return nil, err
	}
	in.ID, in.Size = id, s.total-s.base
	return in, nil
}

// A reading reads a segment by copying parts of it. So it never faults, even if the segment's file
// is truncated meanwhile.
type reading struct {
	from  io.ReaderAt
	shape shape
	alive func(line int) (bool, error)

	living [holdWords]uint32 // a bit for each living line
	pids   []uint32          // of the lines
	ids    []party.ID        // of the living lines, 0 for the others
}

func (r *reading) inspect() (*Inspection, error) {
	in := new(Inspection)
	w, err := copyOf[words](r, wordsOffset)
	if err != nil {
		return nil, err
	}
	in.Deaths = w.party.Deaths.Load()
	if err := r.parties(in, w.party.Lines()); err != nil {
		return nil, err
	}
	for i := range min(int(w.dir.mark.Load()), r.shape.entries) {
		if err := r.object(in, i); err != nil {
			return nil, err
		}
	}
	return in, nil
}

// parties reads the lines of the party table up to mark.
func (r *reading) parties(in *Inspection, mark int) error {
	lines := min(mark+1, r.shape.parties)
	r.pids, r.ids = make([]uint32, lines), make([]party.ID, lines)
	for n := 1; n < lines; n++ {
		l, err := copyOf[party.Line](r, partiesOffset+n*party.LineSize)
		if err != nil {
			return err
		}
		id, pid, ns, marked := l.State()
		if id == 0 {
			continue
		}
		p := PartyInfo{ID: uint32(id), PID: int(pid)}
		if marked {
			if p.Alive, err = r.alive(n); err != nil {
				return err
			}
		}
		r.pids[n] = pid
		if p.Alive {
			in.Attached = true
			r.ids[n] = id
			r.living[n/32] |= 1 << (n % 32)
			if ns == sys.PIDNamespace() {
				p.Program = sys.ProgramName(int(pid))
			}
		}
		in.Parties = append(in.Parties, p)
	}
	return nil
}

// object adds the object in entry i, if there is one.
func (r *reading) object(in *Inspection, i int) error {
	at := r.shape.directory + i*entrySize
	e, err := copyOf[entry](r, at)
	if err != nil || e.state.Load() != stateReady {
		return err
	}
	off, size := e.offset.Load(), e.size.Load()
	if base, total := uint64(r.shape.base), uint64(r.shape.total); off < base || off > total || off%lineSize != 0 || size > total-off {
		return nil // half written, or hostile
	}
	o := ObjectStats{Entry: i, Serial: e.serial.Load()}
	o.ObjectInfo = ObjectInfo{Name: e.objectName(), Kind: Kind(e.kind.Load()), Size: int(size)}
	for line := range r.ids {
		if e.holds[0][line/32].Load()&r.living[line/32]&(1<<(line%32)) != 0 {
			o.Holders++
		}
	}
	o.Stats.count(e.counts.Counts())
	o.Stats.fill(o.Kind, &objectMemory{r: r, off: int(off), size: int(size)})
	again, err := copyOf[entry](r, at)
	if err != nil {
		return err
	}
	if again.ready(e.serial.Load()) { // else what was read may be of two objects
		in.Objects = append(in.Objects, o)
	}
	return nil
}

// copyOf returns a copy of the T at offset off. T consists of atomic words.
func copyOf[T any](r *reading, off int) (*T, error) {
	x := new(T)
	_, err := r.from.ReadAt(view.Bytes(x), int64(off))
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: its file became shorter", ErrTruncated)
	}
	return x, err
}

// An objectMemory is the memory of an object, of which single words are read.
type objectMemory struct {
	r         *reading
	off, size int
}

// Len implements inner.Memory.
func (m *objectMemory) Len() int { return m.size }

// Uint64 implements inner.Memory.
func (m *objectMemory) Uint64(off int) uint64 {
	var b [8]byte
	if off < 0 || off > m.size-8 {
		return 0
	}
	if _, err := m.r.from.ReadAt(b[:], int64(m.off+off)); err != nil {
		return 0
	}
	return binary.NativeEndian.Uint64(b[:])
}

// Uint32 implements inner.Memory.
func (m *objectMemory) Uint32(off int) uint32 {
	if off < 0 {
		return 0
	}
	var b [8]byte
	binary.NativeEndian.PutUint64(b[:], m.Uint64(off&^7))
	return binary.NativeEndian.Uint32(b[off&4:])
}

// PID implements inner.Memory.
func (m *objectMemory) PID(id uint32) int {
	if n := party.ID(id).Line(); id != 0 && n < len(m.r.ids) && m.r.ids[n] == party.ID(id) {
		return int(m.r.pids[n])
	}
	return 0
}

// Dead implements inner.Memory.
func (m *objectMemory) Dead(id uint32) bool {
	n := party.ID(id).Line()
	return n >= len(m.r.ids) || m.r.ids[n] != party.ID(id)
}

// A heapReader reads a heap segment, whose words the race detector watches. What it reads begins
// and ends at multiples of 8.
type heapReader []byte

// ReadAt implements io.ReaderAt.
func (m heapReader) ReadAt(b []byte, off int64) (int, error) {
	for i := 0; i < len(b); i += 8 {
		binary.NativeEndian.PutUint64(b[i:], view.At[atomic.Uint64](m, int(off)+i).Load())
	}
	return len(b), nil
}

// statsOf returns the statistics of the object.
func (o *object) statsOf() (Stats, error) {
	a := o.a
	var s Stats
	s.count(o.Counters().Counts())
	r := &reading{from: heapReader(a.mem.bytes), shape: a.shape}
	r.pids, r.ids = make([]uint32, a.shape.parties), make([]party.ID, a.shape.parties)
	lines := view.Slice[party.Line](a.mem.bytes, partiesOffset, a.shape.parties)
	for n := 1; n <= min(a.words.party.Lines(), a.shape.parties-1); n++ {
		if id, pid, _, alive := lines[n].State(); alive {
			r.ids[n], r.pids[n] = id, pid
		}
	}
	s.fill(o.kind, &objectMemory{r: r, off: view.Offset(a.mem.bytes, o.mem), size: len(o.mem)})
	return s, a.unlessClosed(nil)
}
