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

// A memory is a mapped file, or ordinary memory. It stays mapped for as long as the garbage
// collector can reach it.
//
// This makes a method safe from a Close in another goroutine at no cost. While a method runs it
// holds a pointer to the memory. Close replaces the shared pages by zero pages of this process. So
// the shared memory is given up at once, and a method that is still running reads zeros and does
// not fault. The address range is unmapped when no method holds the memory.
type memory struct {
	bytes []byte
	file  *os.File // nil on the heap
	fd    uint32   // the file's descriptor, for handles
}

func mapMemory(f *os.File, size int) (*memory, error) {
	mm, err := mmap.MapRegion(f, size, mmap.RDWR, 0, 0)
	if err != nil {
		return nil, tooLarge(os.NewSyscallError("mmap", err), size)
	}
	m := &memory{bytes: mm, file: f, fd: uint32(f.Fd())}
	sys.DontDump(mm) // it may be terabytes, nearly all of them unused
	runtime.AddCleanup(m, func(mm mmap.MMap) { mm.Unmap() }, mm)
	return m, nil
}

// blank gives up the shared memory from offset off on. off is a multiple of pageUnit.
func (m *memory) blank(off int) error {
	if m.file == nil {
		return nil
	}
	return sys.Blank(m.bytes[off:])
}

// giveUp gives up all of the shared memory, and the file. A mapping keeps the open file description
// and its locks alive, as a descriptor does, so both must go. If the memory can't be given up, the
// file stays open.
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

// maxSize is so small that sums of sizes do not overflow an int.
const maxSize = math.MaxInt/2 - 1<<28

// checkSize returns ErrSize unless size is that of a segment, a block or an object.
func checkSize(size int) error {
	if size <= 0 || size > maxSize {
		return fmt.Errorf("%w: %d bytes, want 1 to %d", ErrSize, size, maxSize)
	}
	return nil
}

// reserve allocates the memory of [off, off+n) of f. It returns ErrNoSpace if the system has none.
func reserve(f *os.File, off, n int) error {
	err := sys.Reserve(f, int64(off), int64(n))
	if sys.IsNoSpace(err) {
		return fmt.Errorf("%w: the system has no memory for %d bytes: free some in %s or on the machine: %w",
			ErrNoSpace, n, dir, err)
	}
	return err
}

// tooLarge returns err, with which the kernel refused a file or mapping of n bytes. If n is too
// large for this process, the error wraps ErrNoSpace as well.
func tooLarge(err error, n int) error {
	if sys.IsTooLarge(err) {
		return fmt.Errorf("%w: %d bytes are more than this process may map: %w", ErrNoSpace, n, err)
	}
	return err
}

// sized makes a file of size bytes and reserves its first n bytes. The file is a memfd with that
// label if path is empty, else a file without a name in dir.
func sized(path, label string, size, n int) (*os.File, error) {
	var f *os.File
	var err error
	if path == "" {
		if f, err = sys.Memfd(label, int64(size)); errors.Is(err, errors.ErrUnsupported) || errors.Is(err, os.ErrPermission) {
			err = fmt.Errorf("%w: the kernel or a sandbox refuses memory files: make a named segment or block, which lies in %s", err, dir)
		}
	} else if f, err = sys.TempFile(dir); err == nil {
		if err = f.Truncate(int64(size)); err != nil {
			err = errors.Join(err, f.Close())
		}
	}
	if err != nil {
		return nil, tooLarge(err, size)
	}
	if err := reserve(f, 0, n); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
