package ring

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/wait"
)

// TaskDone marks one value as done. Of the values that Get, GetMany or All has taken through q and
// that are not done yet, it is the one that was taken first. TaskDone frees its slot. The queue must
// have been made with the option Joinable.
//
// If a process dies, or closes q, the values that it has taken and not marked done come back: the
// next Get of any process takes them before all others. So no task is lost, and Join waits for it
// until another process has done it.
//
// If several goroutines of a process take values through one Queue, TaskDone can't tell which of
// the values is done. The counts are right nevertheless, but if the process dies, the values that
// come back may be those that were done. Such programs should use Lease, whose Done ends the lease
// of its own value.
//
// It fails with ErrTooManyDone if all values that were taken through q are marked done, or if the
// queue is not joinable. It fails with ErrClosed if q is closed.
func (q *Queue[T]) TaskDone() error {
	k := q.core.Load()
	if k == nil {
		return q.enc.Load().taskDone()
	}
	word, ok := k.tasks.first()
	err := error(ErrTooManyDone)
	if ok {
		err = k.finish(word)
	}
	if err != nil {
		err = k.fails.of("TaskDone", err)
	}
	runtime.KeepAlive(k)
	return err
}

// Join blocks until every value that was put is done, that is, until the queue has no value, and no
// process puts one, holds a lease, or has a value that it has taken and not marked done. In a queue
// that is not joinable, a value is done as soon as Get has taken it. A value that a dead process had
// under a lease, or had not marked done, is not done before another process has taken it: Join does
// not take it. So if no process is left that takes values, Join waits until ctx is done.
//
// A Join that returned nil synchronizes after the TaskDone, Lease.Done or Get that ended each value.
// It fails with ctx's error when ctx is done (it tries once even if ctx is done already), or with
// ErrClosed.
func (q *Queue[T]) Join(ctx context.Context) error {
	k := q.core.Load()
	if k == nil {
		if e := q.enc.Load(); e != nil {
			return e.inner.Join(ctx)
		}
		return closed("Join")
	}
	if k.w.flags.Load()&queueJoined == 0 {
		k.w.flags.Or(queueJoined) // from now on, the process that frees the last slot wakes the joiners
	}
	err := k.unlessClosed(nil)
	if err != nil || !k.idle() {
		err = k.room.Await(ctx, &k.joinSpin, &joiner[T]{k, q.isOpen(k)})
	}
	if err != nil {
		err = k.fails.of("Join", err)
	}
	runtime.KeepAlive(k)
	return err
}

// A joiner waits until a queue is idle.
type joiner[T any] struct {
	k    *queueCore[T]
	open func() bool
}

// Try implements wait.Waiter.
func (j *joiner[T]) Try() (bool, error) {
	if !j.open() {
		return false, ErrClosed
	}
	return j.k.idle(), j.k.unlessClosed(nil)
}

// Arm implements wait.Waiter.
func (j *joiner[T]) Arm() (wait.Armed, bool) {
	w := j.k.w.done.Arm() // [JOIN] before the try
	if crash.Enabled {
		crash.At(crash.QueueJoinWaiting)
	}
	return w, true
}

// Pass implements wait.Waiter. It does nothing: the process that frees the last slot wakes all
// joiners.
func (j *joiner[T]) Pass(woken, done bool) {}

// tasks are the values of a joinable queue that this process has taken and not marked done, in the
// order in which it took them. Shared memory has the same: their slots are leased by this party.
type tasks struct {
	mu     sync.Mutex
	slots  []*atomic.Uint64
	closed bool
}

// add adds a task. It returns false if the Queue is closed.
func (t *tasks) add(slot *atomic.Uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.slots = append(t.slots, slot)
	}
	return !t.closed
}

// first removes the task that was taken first.
func (t *tasks) first() (*atomic.Uint64, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.slots) == 0 {
		return nil, false
	}
	slot := t.slots[0]
	t.slots = t.slots[1:]
	return slot, true
}

// keep makes the message of a slot, which was copied out, a task.
func (k *queueCore[T]) keep(word *atomic.Uint64) error {
	if crash.Enabled {
		crash.At(crash.QueueGetCopied) // the message is that of a dead holder: delivered again
	}
	return k.keepTask(word)
}

// keepTask makes the message of a slot that this party has leased a task.
func (k *queueCore[T]) keepTask(word *atomic.Uint64) error {
	if !k.tasks.add(word) {
		_ = k.giveBack(word)
		return ErrClosed
	}
	return k.unlessClosed(nil)
}

// keepRun is keep for n slots from pos on.
func (k *queueCore[T]) keepRun(pos position, n int) error {
	var err error
	for range n {
		if e := k.keep(k.slots.slotWord(pos.slot())); e != nil {
			err = e
		}
		pos = pos.next(k.slots.count)
	}
	return err
}

// giveUpTasks gives the tasks back when the Queue is closed.
func (k *queueCore[T]) giveUpTasks() {
	k.tasks.mu.Lock()
	slots := k.tasks.slots
	k.tasks.slots, k.tasks.closed = nil, true
	k.tasks.mu.Unlock()
	for _, word := range slots {
		_ = k.giveBack(word)
	}
}
