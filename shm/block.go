package shm

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// A Block is plain memory that processes share: named bytes in /dev/shm with
// nothing added, which any program can open (in Python it is
// multiprocessing.shared_memory.SharedMemory), or anonymous bytes of a sealed
// memfd, which travel by their file descriptor.
//
// A named block stays until Unlink, also when every process that used it is
// gone: mp removes it at no other time. Python does, at its exit, unless it was
// told not to: SharedMemory(name, track=False) from Python 3.13 on, before that as
// examples/python/mpshm.py has it.
//
// The methods of a Block may be called from several goroutines at once; what they
// do with the bytes is theirs to order.
type Block struct {
	name string
	size int
	mem  atomic.Pointer[memory]
	once sync.Once
	err  error
}

// CreateBlock makes a block of the given size, filled with zero bytes; its file has exactly that
// size and mode 0600. CreateBlock reserves the memory. If there is not enough it fails with
// ErrNoSpace, so that no later access crashes. It fails with fs.ErrExist if the name is taken, with
// ErrName if the name is invalid, and with ErrSize if the size is. The empty name makes an
// anonymous block, which vanishes with its last user.
func CreateBlock(name string, size int, _ *Options) (*Block, error) {
	p := ""
	if name != "" {
		var err error
		if p, err = path(name); err != nil {
			return nil, err
		}
	}
	if err := checkSize(size); err != nil {
		return nil, err
	}
	f, err := sized(p, "mp block", size, size)
	if err != nil {
		return nil, fmt.Errorf("shm: create block %q: %w", name, err)
	}
	b, err := mapBlock(f, name, size)
	if err == nil && p != "" {
		if err = sys.LinkTemp(f, p); err != nil {
			err = errors.Join(err, b.Close())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("shm: create block %q: %w", name, err)
	}
	return b, nil
}

// OpenBlock opens the named block, whoever made it. It fails with fs.ErrNotExist, ErrName, or
// ErrSize for an empty file; it follows no symbolic link. If the file is truncated later, an access
// beyond its new end kills the process with SIGBUS; mp can't prevent that.
func OpenBlock(name string, _ *Options) (*Block, error) {
	p, err := path(name)
	if err != nil {
		return nil, err
	}
	f, err := sys.OpenNoFollow(p)
	if err != nil {
		return nil, fmt.Errorf("shm: open block: %w", err)
	}
	return FileBlock(f, name)
}

// FileBlock makes a block of an open memory file, such as one inherited from
// another process, and owns the file from then on.
func FileBlock(f *os.File, name string) (*Block, error) {
	info, err := f.Stat()
	if err == nil {
		size := info.Size()
		if size <= 0 || size > maxSize {
			err = fmt.Errorf("%w: file of %d bytes", ErrSize, size)
		} else {
			var b *Block
			if b, err = mapBlock(f, name, int(size)); err == nil {
				return b, nil
			}
			return nil, fmt.Errorf("shm: open block %q: %w", name, err)
		}
	}
	return nil, fmt.Errorf("shm: open block %q: %w", name, errors.Join(err, f.Close()))
}

func mapBlock(f *os.File, name string, size int) (*Block, error) {
	m, err := mapMemory(f, size)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	b := &Block{name: name, size: size}
	b.mem.Store(m)
	return b, nil
}

// Name returns the block's name, empty for an anonymous block.
func (b *Block) Name() string { return b.name }

// Size returns the number of bytes.
func (b *Block) Size() int { return b.size }

// Bytes returns the memory itself, or ErrClosed. The slice is valid until
// Close: what is read or written through it later is not the block's any more,
// and may crash the process.
func (b *Block) Bytes() ([]byte, error) {
	m := b.mem.Load()
	if m == nil {
		return nil, ErrClosed
	}
	return m.bytes, nil
}

// File returns the block's file, to be inherited or sent by its descriptor,
// or ErrClosed. It is the block's: do not close it.
func (b *Block) File() (*os.File, error) {
	m := b.mem.Load()
	if m == nil {
		return nil, ErrClosed
	}
	return m.file, nil
}

// ReadAt copies bytes out of the block, as io.ReaderAt. After Close it
// returns ErrClosed, also when Close comes during the call.
func (b *Block) ReadAt(p []byte, off int64) (int, error) {
	return b.copy(off, func(mem []byte) (int, bool) { return copy(p, mem), len(p) > len(mem) })
}

// WriteAt implements io.WriterAt. It writes as many bytes as fit, and returns io.ErrShortWrite if
// not all of p does.
func (b *Block) WriteAt(p []byte, off int64) (int, error) {
	n, err := b.copy(off, func(mem []byte) (int, bool) { return copy(mem, p), len(p) > len(mem) })
	if err == io.EOF {
		err = io.ErrShortWrite
	}
	return n, err
}

func (b *Block) copy(off int64, move func(mem []byte) (n int, short bool)) (int, error) {
	m := b.mem.Load()
	if m == nil {
		return 0, ErrClosed
	}
	if off < 0 {
		return 0, fmt.Errorf("shm: %w: offset %d", ErrSize, off)
	}
	n, short := move(m.bytes[min(off, int64(len(m.bytes))):])
	runtime.KeepAlive(m)
	if b.mem.Load() == nil { // m was given up under us
		return 0, ErrClosed
	}
	if short {
		return n, io.EOF
	}
	return n, nil
}

// Close gives up this process's use of the block. The name stays. It may be
// called more than once and while other methods run.
func (b *Block) Close() error {
	b.once.Do(func() {
		m := b.mem.Swap(nil)
		b.err = m.giveUp()
	})
	return b.err
}
