package poll_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/poll"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// talker sends N messages and exits.
var talker = Task("talker", func(ctx context.Context, j job) (int, error) {
	for n := range j.N {
		if err := j.Conn.Send(ctx, fmt.Appendf(nil, "%d %d", j.From, n)); err != nil {
			return n, err
		}
	}
	return j.N, nil
})

// The model is TestWait.test_wait of CPython: several children send through pipes of their own and
// exit, and the parent waits for all of them until each has ended. It receives all messages, in the
// order of each child.
func TestW01_Wait(t *testing.T) {
	const children, messages = 4, 10
	seg := Anonymous(t, segmentSize)
	var open []*ring.Conn
	from := make(map[*ring.Conn]int)
	for i := range children {
		r, w := newPipe(t, seg)
		Start(t, talker, job{Conn: w, From: uint32(i), N: messages})
		WantNil(t, "Close", w.Close())
		open, from[r] = append(open, r), i
	}
	var next [children]int
	for len(open) > 0 {
		i, err := poll.Select(Within(t), cases(open...)...)
		WantNil(t, "Select", err)
		msg, err := open[i].TryReceive()
		if err == io.EOF {
			open = append(open[:i], open[i+1:]...)
			continue
		}
		WantNil(t, "TryReceive", err)
		n := from[open[i]]
		Want(t, "message", string(msg), fmt.Sprint(n, " ", next[n]))
		next[n]++
	}
	for i, n := range next {
		Want(t, fmt.Sprint("messages of child ", i), n, messages)
	}
}

// A Select ends with its context. With a context that has ended it returns at once, with a case
// that is ready or without.
func TestW02_Timeout(t *testing.T) {
	seg := Anonymous(t, segmentSize)
	a, b := newPipe(t, seg)
	const limit = 20 * time.Millisecond
	begin := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	i, err := poll.Select(ctx, a, b)
	wantSelect(t, "Select of nothing", i, err, -1, context.DeadlineExceeded)
	if took := time.Since(begin); took < limit {
		t.Errorf("it ended after %v, not %v", took, limit)
	}
	i, err = poll.Select(ctx, a, b)
	wantSelect(t, "Select with an ended context", i, err, -1, context.DeadlineExceeded)
	WantNil(t, "Send", a.Send(Within(t), nil))
	i, err = poll.Select(ctx, a, b)
	wantSelect(t, "Select with an ended context and a message", i, err, 1, nil)
}

// The end of a process, and a message of another, wake one Select.
func TestP29_Sentinel(t *testing.T) {
	seg := Anonymous(t, segmentSize)
	a, b := newPipe(t, seg)
	cells := NewCells(t, seg, 1)
	child := Start(t, idle, job{Cells: cells})
	cells.Await(t, 0, 1)
	i, err := poll.TrySelect(a, child)
	wantSelect(t, "TrySelect", i, err, -1, poll.ErrNotReady)
	done := selecting(t, a, child)
	WantNil(t, "Send", b.Send(Within(t), nil))
	wantSelected(t, done, 0, nil)
	WantNil(t, "TryReceive", Second(a.TryReceive()))
	done = selecting(t, a, child)
	WantNil(t, "Kill", child.Kill())
	wantSelected(t, done, 1, nil)
	code, exited := child.ExitCode()
	if code != -9 || !exited {
		t.Errorf("the exit code is %d, %v", code, exited)
	}
}

// holder holds what it is given until it is killed.
var holder = Task("holder", func(ctx context.Context, j job) (int, error) {
	if j.Permit != nil {
		if err := j.Permit.Acquire(ctx); err != nil {
			return 0, err
		}
	}
	j.Cells.Set(0, 1)
	<-ctx.Done()
	return 0, ctx.Err()
})

// The death of a process that holds what a Select waits for wakes the Select: the end of the
// messages is there, or the permit is free.
func TestDeathWakes(t *testing.T) {
	seg, other := Anonymous(t, segmentSize), Anonymous(t, segmentSize)
	event := newEvent(t, other)
	start := func(j job) *proc.Call[int] {
		j.Cells = NewCells(t, other, 1)
		p := Start(t, holder, j)
		j.Cells.Await(t, 0, 1)
		return p
	}
	a, b := newPipe(t, seg)
	p := start(job{Conn: b})
	WantNil(t, "Close", b.Close())
	done := selecting(t, event, a)
	Kill(t, p)
	wantSelected(t, done, 1, nil)
	WantError(t, "TryReceive", Second(a.TryReceive()), io.EOF)

	permit := Closing(t, Must(psync.NewBoundedSemaphore(seg, "", 1))(t))
	p = start(job{Permit: permit})
	done = selecting(t, event, permit.AcquireCase())
	Kill(t, p)
	wantSelected(t, done, 1, nil)
}

// A stormCell is the number of a cell of TestSelectStorm: for each message, how often it was got.
func stormCell(m message) int { return int(m.From)*stormMessages + int(m.Seq) }

const (
	stormQueues   = 4
	stormPutters  = 2 // processes
	stormMessages = 2000
)

// selector gets from all queues until they are shut down.
var selector = Task("selector", func(ctx context.Context, j job) (int, error) {
	var m message
	var list []poll.Waitable
	for _, q := range j.Queues {
		list = append(list, q.GetCase(&m))
	}
	got := 0
	for open := len(list); open > 0; {
		i, err := poll.Select(ctx, list...)
		switch {
		case err == nil:
			j.Cells.At(stormCell(m)).Add(1)
			got++
		case errors.Is(err, ring.ErrShutdown):
			list[i] = nil
			open--
		default:
			return got, err
		}
	}
	return got, nil
})

// oneGetter gets from the first queue until it is shut down.
var oneGetter = Task("getter of one queue", func(ctx context.Context, j job) (int, error) {
	got := 0
	for m, err := range j.Queues[0].All(ctx) {
		if err != nil {
			return got, err
		}
		j.Cells.At(stormCell(m)).Add(1)
		got++
	}
	return got, nil
})

// putSelector puts N messages, each into any queue that has space.
var putSelector = Task("putting selector", func(ctx context.Context, j job) (int, error) {
	m := message{From: j.From}
	var list []poll.Waitable
	for _, q := range j.Queues {
		list = append(list, q.PutCase(&m))
	}
	for m.Seq = range uint32(stormMessages) {
		if _, err := poll.Select(ctx, list...); err != nil {
			return int(m.Seq), err
		}
	}
	return stormMessages, nil
})

// Processes select to put into several queues of two segments, others to get from them, and one
// gets from one queue only. Each message is got exactly once; if a selecting getter is killed, it
// may take one message along.
func TestSelectStorm(t *testing.T) {
	for _, kill := range []bool{false, true} {
		t.Run(fmt.Sprint("kill=", kill), func(t *testing.T) {
			segs := []*shm.Segment{Anonymous(t, segmentSize), Blocking(t, segmentSize)}
			j := job{Cells: NewCells(t, segs[0], stormPutters*stormMessages)}
			for i := range stormQueues {
				j.Queues = append(j.Queues, newQueue[message](t, segs[i%2], 2))
			}
			getters := []*proc.Call[int]{Start(t, selector, j), Start(t, selector, j), Start(t, oneGetter, j)}
			victim := Start(t, selector, j)
			var putters []*proc.Call[int]
			for i := range stormPutters {
				j.From = uint32(i)
				putters = append(putters, Start(t, putSelector, j))
			}
			lost := 0
			if kill {
				lost = 1
				Eventually(t, "first messages", func() bool { return j.Cells.At(100).Load() > 0 })
				Kill(t, victim)
			} else {
				getters = append(getters, victim)
			}
			for _, p := range putters {
				Want(t, "messages put", Result(t, p), stormMessages)
			}
			for _, q := range j.Queues {
				WantNil(t, "Shutdown", q.Shutdown())
			}
			for _, p := range getters {
				Result(t, p)
			}
			missing, twice := 0, 0
			for i := range j.Cells.Len() {
				switch j.Cells.At(i).Load() {
				case 0:
					missing++
				case 1:
				default:
					twice++
				}
			}
			if missing > lost || twice > 0 {
				t.Errorf("%d messages are missing and %d were got more than once", missing, twice)
			}
		})
	}
}

// pollingReceiver receives until the end of the messages. It polls the end of the pipe, which other
// processes use too, so the message may be gone when Select returns.
var pollingReceiver = Task("polling receiver", func(ctx context.Context, j job) (int, error) {
	for got := 0; ; {
		if _, err := poll.Select(ctx, j.Conn); err != nil {
			return got, err
		}
		msg, err := j.Conn.TryReceive()
		switch {
		case err == nil:
			var m message
			if _, err := fmt.Sscan(string(msg), &m.From, &m.Seq); err != nil {
				return got, err
			}
			j.Cells.At(int(m.From)*j.N + int(m.Seq)).Add(1)
			got++
		case err == io.EOF:
			return got, nil
		case !errors.Is(err, ring.ErrEmpty) && !errors.Is(err, ring.ErrBusy):
			return got, err
		}
	}
})

// Several processes send at one end of a pipe, and several poll and receive at the other. Each message
// is received exactly once, and each receiver sees the end.
func TestPipeOfMany(t *testing.T) {
	const each, messages = 3, 200
	seg := Anonymous(t, segmentSize)
	r, w := newPipe(t, seg)
	j := job{Conn: r, N: messages, Cells: NewCells(t, seg, each*messages)}
	var senders, receivers []*proc.Call[int]
	for range each {
		receivers = append(receivers, Start(t, pollingReceiver, j))
	}
	j.Conn = w
	for i := range each {
		j.From = uint32(i)
		senders = append(senders, Start(t, talker, j))
	}
	WantNil(t, "Close", w.Close())
	total := 0
	for i := range each {
		Want(t, "messages sent", Result(t, senders[i]), messages)
		total += Result(t, receivers[i])
	}
	Want(t, "messages received", total, each*messages)
	for i := range j.Cells.Len() {
		if n := j.Cells.At(i).Load(); n != 1 {
			t.Errorf("message %d was received %d times", i, n)
		}
	}
}
