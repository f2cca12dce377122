package shm

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
)

// A Block is plain shared memory. A named block is a file in /dev/shm with nothing added, which any
// program can open. In Python it is a multiprocessing.shared_memory.SharedMemory. An anonymous
// block is a sealed memfd, which other processes get by its file descriptor.
//
// A named block lasts until Unlink, even if no process uses it any more. mp never removes it
// otherwise. A Python program that has opened a block removes it at its exit. To prevent that, open
// it by SharedMemory(name, track=False) from Python 3.13 on, and as examples/python/mpshm.py does in
// earlier versions.
//
// All methods may be called from several goroutines at once. mp does not order their accesses to
// the bytes.
type Block struct {
	name string
	size int
	mem  atomic.Pointer[memory]
	once sync.Once
	err  error
}

// CreateBlock makes a named block of the given size, filled with zero bytes. Its file has exactly
// that size and mode 0600. CreateBlock reserves the memory, so that no later access fails. It
// fails with
//
//   - fs.ErrExist, if the name is taken,
//   - ErrName, if the name is invalid,
//   - ErrSize, if the size is out of range,
//   - ErrNoSpace, if the system does not have that much memory.
func CreateBlock(name string, size int) (*Block, error) {
	p, err := path(name)
	if err == nil {
		var b *Block
		if b, err = makeBlock(name, p, size); err == nil {
			return b, nil
		}
	} else if name == "" {
		err = fmt.Errorf("%w; AnonymousBlock makes a block without a name", err)
	}
	return nil, fmt.Errorf("shm: create block %.300q: %w", name, err)
}

// AnonymousBlock makes a block of the given size without a name, filled with zero bytes. Its memory
// is freed when the last process that has it open closes it or ends. Another process opens it by
// its File, with FileBlock. AnonymousBlock reserves the memory. It fails with ErrSize or
// ErrNoSpace.
func AnonymousBlock(size int) (*Block, error) {
	b, err := makeBlock("", "", size)
	if err != nil {
		return nil, fmt.Errorf("shm: make anonymous block: %w", err)
	}
	return b, nil
}

// makeBlock makes a block whose file has the path p, or an anonymous block if p is empty.
func makeBlock(name, p string, size int) (*Block, error) {
	if err := checkSize(size); err != nil {
		return nil, err
	}
	f, err := sized(p, "mp block", size, size)
	if err != nil {
		return nil, err
	}
	b, err := mapBlock(f, name, size)
	if err != nil {
		return nil, err
	}
	if p != "" {
		if err := link(f, p); err != nil {
			return nil, errors.Join(err, b.Close())
		}
	}
	return b, nil
}

// OpenBlock opens the named block, which may have been made by another program. It fails with
// fs.ErrNotExist, ErrName, or ErrSize if the file is empty. It follows no symbolic link. If the
// file is truncated later, an access beyond its new end kills the process with SIGBUS. mp can't
// prevent that.
func OpenBlock(name string) (*Block, error) {
	p, err := path(name)
	if err == nil {
		var f *os.File
		if f, err = openPath(p); err == nil {
			return FileBlock(f, name)
		}
	}
	return nil, fmt.Errorf("shm: open block %.300q: %w", name, err)
}

// FileBlock makes a block of an open memory file, such as one inherited from another process. The
// block owns the file. If FileBlock fails, it closes the file.
func FileBlock(f *os.File, name string) (*Block, error) {
	b, err := fileBlock(f, name)
	if err != nil {
		return nil, fmt.Errorf("shm: open block %.300q: %w", name, err)
	}
	return b, nil
}

func fileBlock(f *os.File, name string) (*Block, error) {
	if f == nil {
		return nil, because(os.ErrInvalid, "its file is nil")
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	size := info.Size()
	if size <= 0 || size > maxSize {
		return nil, errors.Join(fmt.Errorf("%w: its file has %d bytes, want 1 to %d", ErrSize, size, maxSize), f.Close())
	}
	return mapBlock(f, name, int(size))
}

// mapBlock makes a block of the first size bytes of f. It owns f.
func mapBlock(f *os.File, name string, size int) (*Block, error) {
	m, err := mapMemory(f, size)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	b := &Block{name: name, size: size}
	b.mem.Store(m)
	return b, nil
}

// Name returns the block's name, which is empty for an anonymous block.
func (b *Block) Name() string { return b.name }

// Size returns the number of bytes.
func (b *Block) Size() int { return b.size }

// Bytes returns the memory itself. The slice is valid until Close. An access through it after Close
// does not reach the block, and may crash the process. Bytes fails with ErrClosed.
func (b *Block) Bytes() ([]byte, error) {
	m := b.mem.Load()
	if m == nil {
		return nil, b.fail("Bytes", ErrClosed)
	}
	return m.bytes, nil
}

// File returns the block's file, whose descriptor a child can inherit or another process receive.
// The block owns the file: do not close it. File fails with ErrClosed.
func (b *Block) File() (*os.File, error) {
	m := b.mem.Load()
	if m == nil {
		return nil, b.fail("File", ErrClosed)
	}
	return m.file, nil
}

// ReadAt implements io.ReaderAt. It fails with ErrClosed if the block is closed before ReadAt has
// returned, and with ErrSize if off is negative.
func (b *Block) ReadAt(p []byte, off int64) (int, error) {
	n, err := b.copy(off, func(mem []byte) int { return copy(p, mem) })
	if err != nil {
		return n, b.fail("ReadAt", err)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements io.WriterAt. It writes as many bytes as fit, and fails with io.ErrShortWrite
// if not all of p does. It fails with ErrClosed if the block is closed before WriteAt has returned,
// and with ErrSize if off is negative.
func (b *Block) WriteAt(p []byte, off int64) (int, error) {
	n, err := b.copy(off, func(mem []byte) int { return copy(mem, p) })
	if err == nil && n < len(p) {
		err = fmt.Errorf("%w: %d of %d bytes fit at %d in %d bytes", io.ErrShortWrite, n, len(p), off, b.size)
	}
	if err != nil {
		return n, b.fail("WriteAt", err)
	}
	return n, nil
}

// copy calls move with the memory from off on, and returns the number of bytes that move has
// copied.
func (b *Block) copy(off int64, move func(mem []byte) int) (int, error) {
	m := b.mem.Load()
	if m == nil {
		return 0, ErrClosed
	}
	if off < 0 {
		return 0, fmt.Errorf("%w: the offset is %d, want 0 or more", ErrSize, off)
	}
	n := move(m.bytes[min(off, int64(len(m.bytes))):])
	runtime.KeepAlive(m)
	if b.mem.Load() == nil { // the bytes that were copied may not be the block's
		return 0, ErrClosed
	}
	return n, nil
}

// Close ends this process's use of the block. The name of a block stays: see Unlink. Close may be
// called more than once, and while other methods run.
func (b *Block) Close() error {
	b.once.Do(func() {
		if err := b.mem.Swap(nil).giveUp(); err != nil {
			b.err = b.fail("Close", err)
		}
	})
	return b.err
}
