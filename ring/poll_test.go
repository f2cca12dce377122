//go:build linux

package ring_test

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

// TestX07_Poll shows when Poll returns, and that it receives nothing.
func TestX07_Poll(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		a, b := newPipe(t, seg, 4096)
		ctx := Within(t)
		WantError(t, "TryPoll", b.TryPoll(), ring.ErrEmpty)
		WantError(t, "Poll, expired", b.Poll(Expired), context.Canceled)
		begin := time.Now()
		brief, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
		WantError(t, "Poll", b.Poll(brief), context.DeadlineExceeded)
		cancel()
		if d := time.Since(begin); d < 5*time.Millisecond {
			t.Errorf("Poll gave up after %v", d)
		}
		// A blocked Poll returns when a message is there, and so does a blocked Receive beside it.
		polled := Async(func() error { return b.Poll(ctx) })
		received := Async(func() error { return Second(b.Receive(ctx)) })
		AwaitAsleep(t, os.Getpid(), 2)
		WantNil(t, "TrySend", a.TrySend([]byte("first")))
		WantNil(t, "Receive", Await(t, received, "Receive"))
		WantNil(t, "TrySend", a.TrySend(nil)) // Receive may have taken the first one before Poll saw it
		WantNil(t, "Poll", Await(t, polled, "Poll"))
		// X08 and X09: an empty message is a message, and Poll takes no part of one.
		WantNil(t, "TrySend", a.TrySend([]byte("last")))
		for _, want := range []string{"", "last"} {
			for range 3 {
				WantNil(t, "TryPoll", b.TryPoll())
				WantNil(t, "Poll", b.Poll(ctx))
				WantNil(t, "Poll, expired", b.Poll(Expired))
			}
			receive(t, b, []byte(want))
		}
		WantError(t, "TryPoll", b.TryPoll(), ring.ErrEmpty)
		held := Must(b.Receiver(ctx))(t)
		WantError(t, "TryPoll", b.TryPoll(), ring.ErrBusy)
		WantNil(t, "Close", held.Close())
		// X10: the end is there, too.
		polled = Async(func() error { return b.Poll(ctx) })
		AwaitAsleep(t, os.Getpid(), 1)
		WantNil(t, "Close", a.Close())
		WantNil(t, "Poll at the end", Await(t, polled, "Poll at the end"))
		WantNil(t, "TryPoll at the end", b.TryPoll())
		WantError(t, "Receive", Second(b.Receive(ctx)), io.EOF)
		WantNil(t, "Close", b.Close())
		WantError(t, "Poll", b.Poll(ctx), ring.ErrClosed)
		WantError(t, "TryPoll", b.TryPoll(), ring.ErrClosed)
	})
}

// pollTask receives by Poll and TryReceive until the end, and counts the messages in cell 1.
var pollTask = Task("poll", func(ctx context.Context, j job) (n int, err error) {
	j.Cells.Add(0)
	for {
		if err := j.Conn.Poll(ctx); err != nil {
			return n, err
		}
		_, err := j.Conn.TryReceive()
		switch {
		case errors.Is(err, io.EOF):
			return n, nil
		case errors.Is(err, ring.ErrEmpty), errors.Is(err, ring.ErrBusy): // another process was faster
		case err != nil:
			return n, err
		default:
			n++
			j.Cells.Add(1)
		}
	}
})

// TestX07_PollOfManyProcesses has several processes at both ends, each of which polls and then
// receives. Each message is received once, and each process learns of the end.
func TestX07_PollOfManyProcesses(t *testing.T) {
	seg := Anonymous(t, room)
	a, b := newPipe(t, seg, 4096)
	cells := NewCells(t, seg, 2)
	pollers, senders := 3, 2
	var children []interface {
		Result(context.Context) (int, error)
	}
	for range pollers {
		children = append(children, Start(t, pollTask, job{Conn: b, Cells: cells}))
	}
	WantNil(t, "Close", b.Close())
	cells.Await(t, 0, uint32(pollers))
	const n = 400
	total := 0
	for i := range senders {
		p := Start(t, sendTask, job{Conn: a, N: n, From: uint32(i)})
		defer func() { Want(t, "sent", Result(t, p), n) }()
	}
	cells.Await(t, 1, n*uint32(senders))
	WantNil(t, "Close", a.Close())
	for _, p := range children {
		got, err := p.Result(Within(t))
		WantNil(t, "poller", err)
		total += got
	}
	Want(t, "received", total, n*senders)
}
