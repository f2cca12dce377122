package step

import (
	"context"
	"fmt"
	"os"
	"runtime"

	"github.com/seed-2e7ecdea/mp/internal/sys"
	"github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/shm"
)

// The cells by which the test and a child talk.
const (
	cellThread   = iota // the ID of the child's thread, once it is nearly ready for the operation
	cellReady           // 1: the thread waits for cellBegin
	cellBegin           // 1: the child begins the operation
	cellReturned        // 1: the operation has returned, and 2: with an error
	cellValue           // what it returned, as a word of 64 bits
	cellLeave           // 1: the child may end
	cells
)

// An assignment tells a child what to do.
type assignment[J any] struct {
	Row   string
	Seg   *shm.Segment
	Job   J
	Cells *testkit.Cells
}

// perform performs the operation of an assignment in a child. It returns the text of the error of
// Do.
func (tb *Table[J]) perform(ctx context.Context, a assignment[J]) (string, error) {
	row := tb.find(a.Row)
	if row == nil {
		return "", fmt.Errorf("no row %q", a.Row)
	}
	if !row.Spins {
		if err := a.Seg.SetWait(shm.WaitBlock); err != nil {
			return "", err
		}
	}
	failed := make(chan error)
	go onOtherThread(func() { failed <- row.traced(ctx, a) })
	text := ""
	if err := <-failed; err != nil {
		if a.Cells.At(cellReturned).Load() == 0 {
			return "", err
		}
		text = err.Error()
	}
	return text, a.Cells.Until(ctx, cellLeave, 1)
}

// onOtherThread runs f on a thread that is not the first one of the process: os.Process.Wait
// would take a stop of that one for the end of the process.
func onOtherThread(f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if sys.ThreadID() != os.Getpid() {
		f()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		onOtherThread(f)
	}()
	<-done
}

// traced performs a row's operation, in the goroutine that performs its Before: pipes tell
// goroutines apart.
func (r *Row[J]) traced(ctx context.Context, a assignment[J]) error {
	if r.Before != nil {
		if err := r.Before(ctx, a.Job); err != nil {
			return fmt.Errorf("before the operation: %w", err)
		}
	}
	// Pointers to the cells, so that only the operation is between begin and returned.
	ready, begin, returned, value := a.Cells.At(cellReady), a.Cells.At(cellBegin), a.Cells.At(cellReturned), a.Cells.Wide(cellValue)
	growStack(64)
	a.Cells.Set(cellThread, uint32(sys.ThreadID()))
	// Go's scheduler may use the thread for something else until here, but not in a loop without calls.
	for begin.Load() == 0 {
		ready.Store(1)
	}
	v, err := r.Do(ctx, a.Job)
	value.Store(v)
	if err != nil {
		returned.Store(2)
	} else {
		returned.Store(1)
	}
	runtime.KeepAlive(a.Cells)
	return err
}

// growStack makes the goroutine's stack so large that the operation does not make Go's runtime copy
// it.
//
//go:noinline
func growStack(kib int) (sum byte) {
	var frame [1024]byte
	for i := range frame {
		frame[i] = byte(i * kib)
	}
	if kib > 0 {
		sum = growStack(kib - 1)
	}
	return sum + frame[kib]
}
