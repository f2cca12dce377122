package shm

import (
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"

	"github.com/edsrzf/mmap-go"

	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// memory is a mapped file, or ordinary memory, that stays mapped as long as
// the garbage collector can reach it.
//
// That is how a method is safe from a Close in another goroutine without paying
// for it: a method holds a pointer to its memory while it runs. Close puts zero
// pages of the process's own in the place of the shared ones, so that the shared
// memory is given up at once and a method that is still inside finds nothing, and
// faults nowhere; the address range goes when no method holds the memory.
type memory struct {
	bytes []byte
	file  *os.File // nil on the heap
	fd    uint32   // its number, for handles
}

func mapMemory(f *os.File, size int) (*memory, error) {
	mm, err := mmap.MapRegion(f, size, mmap.RDWR, 0, 0)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	m := &memory{bytes: mm, file: f, fd: uint32(f.Fd())}
	sys.DontDump(mm) // it may be terabytes that nothing lies in
	runtime.AddCleanup(m, func(mm mmap.MMap) { mm.Unmap() }, mm)
	return m, nil
}

// blank gives up the shared memory from off on. off is a multiple of pageUnit.
func (m *memory) blank(off int) error {
	if m.file == nil {
		return nil
	}
	return sys.Blank(m.bytes[off:])
}

// giveUp gives up all of the shared memory, and the file. A mapping keeps the
// open file description and its locks, as the last descriptor does: both have
// to go. If the memory can't be given up, the file stays open.
func (m *memory) giveUp() error {
	if m.file == nil {
		return nil
	}
	if err := m.blank(0); err != nil {
		return err
	}
	return m.file.Close()
}

// pageUnit is a multiple of the page size of every system.
const pageUnit = 1 << 16

func roundUp(n, unit int) int { return (n + unit - 1) / unit * unit }

// maxSize keeps sums of sizes within an int.
const maxSize = math.MaxInt/2 - 1<<28

func checkSize(size int) error {
	if size <= 0 || size > maxSize {
		return fmt.Errorf("shm: %w: %d bytes", ErrSize, size)
	}
	return nil
}

// reserve makes the memory of [off, off+n) of f sure, or says that there is
// none.
func reserve(f *os.File, off, n int) error {
	err := sys.Reserve(f, int64(off), int64(n))
	if sys.IsNoSpace(err) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return err
}

// sized makes a new file of size bytes, a memfd for the empty path, and
// reserves its first n bytes.
func sized(path, label string, size, n int) (*os.File, error) {
	var f *os.File
	var err error
	if path == "" {
		f, err = sys.Memfd(label, int64(size))
	} else if f, err = sys.TempFile(dir); err == nil {
		if err = f.Truncate(int64(size)); err != nil {
			err = errors.Join(err, f.Close())
		}
	}
	if err != nil {
		return nil, err
	}
	if err := reserve(f, 0, n); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
