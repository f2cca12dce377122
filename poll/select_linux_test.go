package poll_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/poll"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
	"github.com/seed-2e7ecdea/mp/value"
)

func onBoth(t *testing.T, f func(t *testing.T, seg *shm.Segment)) { OnBoth(t, segmentSize, f) }

// Each kind of case wakes a Select that sleeps, and its operation is carried out. Until then
// TrySelect finds nothing.
func TestKinds(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		ctx := Within(t)
		got, put := uint64(0), uint64(8)
		items, space := newQueue[uint64](t, seg, 1), newQueue[uint64](t, seg, 1)
		WantNil(t, "Put", space.Put(ctx, 7))
		a, b := newPipe(t, seg)
		event := newEvent(t, seg)
		permits := Closing(t, Must(psync.NewSemaphore(seg, "", 0))(t))
		bounded := Closing(t, Must(psync.NewBoundedSemaphore(seg, "", 1))(t))
		WantNil(t, "Acquire", bounded.Acquire(ctx))
		group := Closing(t, Must(psync.NewWaitGroup(seg, ""))(t))
		WantNil(t, "Add", group.Add(1))
		number := Closing(t, Must(value.NewInt64(seg, "", 1, nil))(t))
		wide := Closing(t, Must(value.New(seg, "", [4]int64{1}, nil))(t))
		var n int64
		var w [4]int64
		number1, wide1 := number.WatchCase(&n), wide.WatchCase(&w)
		for _, c := range []poll.Case{number1, wide1} {
			i, err := poll.Select(ctx, c)
			wantSelect(t, "WatchCase at first", i, err, 0, nil)
		}
		Want(t, "the value at first", fmt.Sprint(n, w), "1 [1 0 0 0]")
		child := Start(t, idle, job{Cells: NewCells(t, Anonymous(t, 1<<16), 1)})

		same := func(what string, got, want any) error {
			if got != want {
				return fmt.Errorf("%s is %v, want %v", what, got, want)
			}
			return nil
		}
		for _, r := range []struct {
			name string
			wait poll.Waitable
			make func() error // makes the case ready
			done func() error // checks that the operation was carried out
		}{
			{"GetCase", items.GetCase(&got), func() error { return items.TryPut(5) },
				func() error { return same("the value", got, uint64(5)) }},
			{"PutCase", space.PutCase(&put), func() error { return Second(space.TryGet()) },
				func() error { v, err := space.TryGet(); return errors.Join(err, same("the value", v, uint64(8))) }},
			{"Conn", b, func() error { return a.TrySend([]byte("hello")) },
				func() error {
					msg, err := b.TryReceive()
					return errors.Join(err, same("the message", string(msg), "hello"))
				}},
			{"Event", event, event.Set, event.Clear},
			{"Event that is cleared", event, func() error { return errors.Join(event.Set(), event.Clear()) },
				func() error { return nil }},
			{"Semaphore", permits.AcquireCase(), permits.Release,
				func() error { n, err := permits.Value(); return errors.Join(err, same("the permits", n, 0)) }},
			{"BoundedSemaphore", bounded.AcquireCase(), bounded.Release, bounded.Release},
			{"WaitGroup", group, group.Done, func() error { return nil }},
			{"a number", number1, func() error { number.Add(41); return nil }, func() error { return same("the number", n, int64(42)) }},
			{"a wide value", wide1, func() error { wide.Store([4]int64{2}); return nil },
				func() error { return same("the value", w, [4]int64{2}) }},
			{"Process", child, child.Kill, func() error { Await(t, child.Done(), "end of the child"); return nil }},
		} {
			t.Run(r.name, func(t *testing.T) {
				other := newEvent(t, Anonymous(t, 1<<16))
				i, err := poll.TrySelect(other, r.wait)
				wantSelect(t, "TrySelect before", i, err, -1, poll.ErrNotReady)
				done := selecting(t, other, r.wait)
				WantNil(t, "make it ready", r.make())
				wantSelected(t, done, 1, nil)
				WantNil(t, "done", r.done())
			})
		}
		i, err := poll.Select(ctx, poll.Case{}, nil, child)
		wantSelect(t, "Select of an ended process", i, err, 2, nil)
	})
}

type selected struct {
	i   int
	err error
}

// selecting calls Select in a goroutine of its own and waits until that sleeps.
func selecting(t testing.TB, cases ...poll.Waitable) <-chan selected {
	t.Helper()
	ctx := Within(t)
	done := Async(func() selected {
		i, err := poll.Select(ctx, cases...)
		return selected{i, err}
	})
	AwaitAsleep(t, os.Getpid(), 1)
	return done
}

func wantSelected(t testing.TB, done <-chan selected, i int, err error) {
	t.Helper()
	s := Await(t, done, "Select")
	wantSelect(t, "Select", s.i, s.err, i, err)
}

// A nil case and the zero Case are never ready. With an ended context each case is tried once.
func TestEndedContext(t *testing.T) {
	seg := Anonymous(t, segmentSize)
	event := newEvent(t, seg)
	for _, list := range [][]poll.Waitable{nil, {nil}, {poll.Case{}, nil}, {event}, {nil, event}} {
		i, err := poll.Select(Expired, list...)
		wantSelect(t, "Select", i, err, -1, context.Canceled)
		i, err = poll.TrySelect(list...)
		wantSelect(t, "TrySelect", i, err, -1, poll.ErrNotReady)
	}
	WantNil(t, "Set", event.Set())
	i, err := poll.Select(Expired, nil, event)
	wantSelect(t, "Select with an ended context", i, err, 1, nil)
}

// An event's case is ready again only if the event is set again.
func TestEventCaseIsReadyOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		event := newEvent(t, seg)
		c := event.Case()
		none := func(when string) {
			t.Helper()
			i, err := poll.TrySelect(c)
			wantSelect(t, when, i, err, -1, poll.ErrNotReady)
		}
		one := func(when string) {
			t.Helper()
			i, err := poll.TrySelect(c)
			wantSelect(t, when, i, err, 0, nil)
		}
		for range 3 {
			none("not set")
			WantNil(t, "Set", event.Set())
			one("set")
			one("still set")
			WantNil(t, "Clear", event.Clear())
			none("cleared")
			WantNil(t, "Set", event.Set())
			WantNil(t, "Clear", event.Clear())
			one("set and cleared")
		}
	})
}

// Close of one object ends a Select that waits, with its index and ErrClosed. So do Close of its
// segment and Shutdown of a queue.
func TestClosed(t *testing.T) {
	var v uint64
	for _, c := range []struct {
		name string
		end  func(q *ring.Queue[uint64], seg *shm.Segment) error
		err  error
	}{
		{"the queue is closed", func(q *ring.Queue[uint64], _ *shm.Segment) error { return q.Close() }, ring.ErrClosed},
		{"the segment is closed", func(_ *ring.Queue[uint64], seg *shm.Segment) error { return seg.Close() }, ring.ErrClosed},
		{"the queue is shut down", func(q *ring.Queue[uint64], _ *shm.Segment) error { return q.Shutdown() }, ring.ErrShutdown},
	} {
		t.Run(c.name, func(t *testing.T) {
			seg := Anonymous(t, segmentSize)
			q, event := newQueue[uint64](t, seg, 1), newEvent(t, Anonymous(t, segmentSize))
			get := q.GetCase(&v)
			done := selecting(t, event, get)
			WantNil(t, "end", c.end(q, seg))
			wantSelected(t, done, 1, c.err)
			i, err := poll.Select(Within(t), event, get)
			wantSelect(t, "the next Select", i, err, 1, c.err)
		})
	}
}

// Each object of 125 in several segments wakes the one Select over all of them.
func TestSelectOfMany(t *testing.T) {
	for _, n := range []int{125, 260} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			segs := []*shm.Segment{Anonymous(t, segmentSize), Blocking(t, segmentSize), Heap(t, segmentSize)}
			queues, values := make([]*ring.Queue[uint64], n), make([]uint64, n)
			var list []poll.Waitable
			for i := range queues {
				queues[i] = newQueue[uint64](t, segs[i%len(segs)], 1)
				list = append(list, queues[i].GetCase(&values[i]))
			}
			for i := range queues {
				if testing.Short() && i%10 != 0 {
					continue
				}
				done := Async(func() selected {
					i, err := poll.Select(Within(t), list...)
					return selected{i, err}
				})
				WantNil(t, "Put", queues[i].Put(Within(t), uint64(i)))
				wantSelected(t, done, i, nil)
				Want(t, "value", values[i], uint64(i))
			}
		})
	}
}

// TestErrorTable provokes each error of the package, and that of each kind of closed case.
func TestErrorTable(t *testing.T) {
	seg := Anonymous(t, segmentSize)
	var v uint64
	q, space := newQueue[uint64](t, seg, 1), newQueue[uint64](t, seg, 1)
	a, _ := newPipe(t, seg)
	event := newEvent(t, seg)
	permits := Closing(t, Must(psync.NewSemaphore(seg, "", 0))(t))
	bounded := Closing(t, Must(psync.NewBoundedSemaphore(seg, "", 1))(t))
	group := Closing(t, Must(psync.NewWaitGroup(seg, ""))(t))
	number := Closing(t, Must(value.New(seg, "", v, nil))(t))
	i, err := poll.Select(Expired, event, q.GetCase(&v))
	Want(t, "index", i, -1)
	Want(t, "text", err.Error(), "poll: Select of 2 cases: context canceled")
	i, err = poll.TrySelect(event, q.GetCase(&v))
	Want(t, "index", i, -1)
	Want(t, "text", err.Error(), "poll: TrySelect: no case is ready")
	WantNil(t, "Put", space.Put(Within(t), 1))
	for _, c := range []struct {
		op, kind string
		close    func() error
		make     func() poll.Case
	}{
		{"ring: Get", "queue", q.Close, func() poll.Case { return q.GetCase(&v) }},
		{"ring: Put", "queue", space.Close, func() poll.Case { return space.PutCase(&v) }},
		{"ring: Select", "pipe", a.Close, a.Case},
		{"psync: Wait", "event", event.Close, event.Case},
		{"psync: Acquire", "semaphore", permits.Close, permits.AcquireCase},
		{"psync: Acquire", "bounded semaphore", bounded.Close, bounded.AcquireCase},
		{"psync: Wait", "wait group", group.Close, group.Case},
		{"value: WatchCase", "value", number.Close, func() poll.Case { return number.WatchCase(&v) }},
	} {
		before := c.make()
		WantNil(t, "Close", c.close())
		for _, one := range []poll.Case{before, c.make()} {
			i, err := poll.Select(Within(t), nil, one)
			wantSelect(t, c.op, i, err, 1, shm.ErrClosed)
			Want(t, "text", err.Error(), fmt.Sprintf("%s of %s: this process has closed it", c.op, c.kind))
		}
	}
}
