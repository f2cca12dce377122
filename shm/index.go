package shm

import (
	"math/bits"

	"github.com/seed-2e7ecdea/mp/internal/crash"
)

// The index finds an entry by its name. It is a hash table. A slot holds 1 + the number of an entry,
// or 0 if it was never used. A slot is only a hint: a reader compares the entry's name. The slot of
// an entry that has no object any more may be used for another, and is cleared when the index is
// rebuilt.
//
// Readers take no lock. The index is rebuilt in place, and seq is odd meanwhile. A reader that does
// not find the name looks at all entries if seq is odd or has changed.

// minSlots is the number of slots of the smallest index. At least half of the slots stay empty.
const minSlots = 1 << 10

func hashOf(name string) uint32 { // FNV-1a
	h := uint32(2166136261)
	for i := range len(name) {
		h = (h ^ uint32(name[i])) * 16777619
	}
	return h ^ h>>15
}

// find returns the number of the entry of the object with that name, or -1 if there is none, and the
// entry's serial number. If the caller does not hold the directory's lock, the entry may have
// become another object's when find returns: the serial number is another then.
func (a *attachment) find(name string) (i int, serial uint32) {
	if name == "" {
		return -1, 0
	}
	d := &a.words.dir
	seq, b := d.seq.Load(), d.bits.Load()
	if seq%2 == 0 && b <= uint32(bits.Len(uint(a.shape.slots)))-1 {
		if b != 0 {
			if i, serial := a.lookUp(name, uint32(1)<<b-1); i >= 0 {
				return i, serial
			}
		}
		if d.seq.Load() == seq {
			return -1, 0
		}
	}
	for i := range a.used() {
		if serial, ok := a.named(i, name); ok {
			return i, serial
		}
	}
	return -1, 0
}

// lookUp is find by the slots alone.
func (a *attachment) lookUp(name string, mask uint32) (i int, serial uint32) {
	h := hashOf(name)
	for n := range mask + 1 {
		v := a.slots[(h+n)&mask].Load()
		if v == 0 {
			break
		}
		if i := int(v) - 1; i < len(a.entries) {
			if serial, ok := a.named(i, name); ok {
				return i, serial
			}
		}
	}
	return -1, 0
}

// named reports whether entry i has the object of that name, and returns its serial number.
func (a *attachment) named(i int, name string) (serial uint32, ok bool) {
	e := &a.entries[i]
	serial = e.serial.Load() // before the name: see ready
	return serial, e.state.Load() == stateReady && int(e.nameLen.Load()) == len(name) && e.objectName() == name
}

// addName adds the name of entry i, which is about to be READY, to the index. The caller holds the
// directory's lock.
func (a *attachment) addName(i int, name string) error {
	if name == "" {
		return nil
	}
	d := &a.words.dir
	if b := d.bits.Load(); b == 0 || int(b) >= bits.Len(uint(a.shape.slots)) || d.filled.Load() >= 1<<b/2 {
		if err := a.rebuildIndex(1); err != nil {
			return err
		}
	}
	a.insert(i, hashOf(name))
	return nil
}

// insert stores entry i in the first slot for the hash h that is empty or whose entry has no object
// any more.
func (a *attachment) insert(i int, h uint32) {
	d := &a.words.dir
	mask := uint32(1)<<d.bits.Load() - 1
	for n := range mask + 1 {
		slot := &a.slots[(h+n)&mask]
		v := slot.Load()
		if v != 0 && int(v) <= a.used() && a.entries[v-1].state.Load() == stateReady {
			continue
		}
		if v == 0 {
			d.filled.Add(1)
		}
		slot.Store(uint32(i) + 1)
		return
	}
}

// rebuildIndex rebuilds the index from the entries, with slots for more names. If the process is
// killed meanwhile, seq is odd, and the next owner of the directory's lock rebuilds the index. If
// there is no memory for it, rebuildIndex returns ErrNoSpace and leaves the index as it was.
func (a *attachment) rebuildIndex(more int) error {
	d := &a.words.dir
	n := more
	for i := range a.used() {
		if e := &a.entries[i]; e.state.Load() == stateReady && e.nameLen.Load() != 0 {
			n++
		}
	}
	b := min(bits.Len(uint(max(4*n, minSlots)-1)), bits.Len(uint(a.shape.slots))-1)
	if f := a.mem.file; f != nil {
		if err := reserve(f, a.shape.index, 4<<b); err != nil {
			return err
		}
	}
	d.seq.Store(d.seq.Load() | 1)
	if crash.Enabled {
		crash.At(crash.IndexRebuilding)
	}
	for k := range a.slots[:1<<b] {
		set(&a.slots[k], 0)
	}
	d.filled.Store(0)
	d.bits.Store(uint32(b))
	for i := range a.used() {
		if e := &a.entries[i]; e.state.Load() == stateReady && e.nameLen.Load() != 0 {
			a.insert(i, hashOf(e.objectName()))
		}
	}
	d.seq.Add(1)
	return nil
}
