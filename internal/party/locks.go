package party

import (
	"os"
	"sync"

	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// Locks are the locks of the lines, as one party sees them. A party is alive while its line's lock
// is held: the lock is released exactly when the party can't run any more.
type Locks interface {
	// TryLock takes the lock of a line. It returns false if another party holds it.
	TryLock(line int) (bool, error)
	// Unlock releases the lock of a line.
	Unlock(line int) error
	// HeldByOther reports whether another party holds one of the n locks from line on.
	HeldByOther(line, n int) (bool, error)
}

// lockBase is the file offset of line 0's byte. It lies beyond the file's contents.
const lockBase = int64(1) << 62

// FileLocks are record locks of an open file description. The kernel releases them when the last
// descriptor of that description is closed, as it is when the process ends or calls execve.
type FileLocks struct{ File *os.File }

// TryLock implements Locks.
func (l FileLocks) TryLock(line int) (bool, error) {
	return sys.LockByte(l.File, lockBase+int64(line), false, false)
}

// Unlock implements Locks.
func (l FileLocks) Unlock(line int) error { return sys.UnlockByte(l.File, lockBase+int64(line)) }

// HeldByOther implements Locks.
func (l FileLocks) HeldByOther(line, n int) (bool, error) {
	return sys.LockedByOther(l.File, lockBase+int64(line), int64(n))
}

// HeapLocks are the locks of a heap segment, as one of the parties of this process sees them.
type HeapLocks struct{ all *heapLocks }

type heapLocks struct {
	mu    sync.Mutex
	owner [MaxLines + 1]*HeapLocks
}

// NewHeapLocks returns the locks of a new heap segment for its first party.
func NewHeapLocks() *HeapLocks { return &HeapLocks{new(heapLocks)} }

// Other returns the same locks for another party.
func (l *HeapLocks) Other() *HeapLocks { return &HeapLocks{l.all} }

// TryLock implements Locks.
func (l *HeapLocks) TryLock(line int) (bool, error) {
	l.all.mu.Lock()
	defer l.all.mu.Unlock()
	if o := l.all.owner[line]; o != nil && o != l {
		return false, nil
	}
	l.all.owner[line] = l
	return true, nil
}

// Unlock implements Locks.
func (l *HeapLocks) Unlock(line int) error {
	l.all.mu.Lock()
	defer l.all.mu.Unlock()
	if l.all.owner[line] == l {
		l.all.owner[line] = nil
	}
	return nil
}

// HeldByOther implements Locks.
func (l *HeapLocks) HeldByOther(line, n int) (bool, error) {
	l.all.mu.Lock()
	defer l.all.mu.Unlock()
	for _, o := range l.all.owner[line : line+n] {
		if o != nil && o != l {
			return true, nil
		}
	}
	return false, nil
}

// Release releases every lock of this party, as its death would.
func (l *HeapLocks) Release() {
	l.all.mu.Lock()
	defer l.all.mu.Unlock()
	for i, o := range l.all.owner {
		if o == l {
			l.all.owner[i] = nil
		}
	}
}
