//go:build linux

package ring_test

import (
	"context"
	"errors"
	"io"
	"testing"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A simplexJob is what a child is given.
type simplexJob struct {
	In  *ring.ReadEnd
	Out *ring.WriteEnd
}

var forwardTask = proc.Register("forward", func(ctx context.Context, j simplexJob) (n int, err error) {
	for ; ; n++ {
		msg, err := j.In.Receive(ctx)
		if errors.Is(err, io.EOF) {
			return n, j.Out.Close()
		}
		if err == nil {
			err = j.Out.Send(ctx, msg)
		}
		if err != nil {
			return n, err
		}
	}
})

// TestX13_Simplex sends messages to a child by one simplex and receives them by another. Each is of
// one direction: the methods of the other one do not exist.
func TestX13_Simplex(t *testing.T) {
	if _, ok := any((*ring.ReadEnd)(nil)).(interface{ TrySend([]byte) error }); ok {
		t.Error("a ReadEnd sends")
	}
	if _, ok := any((*ring.WriteEnd)(nil)).(interface{ TryReceive() ([]byte, error) }); ok {
		t.Error("a WriteEnd receives")
	}
	seg := Anonymous(t, room)
	ctx := Within(t)
	toChild, send, err := ring.NewSimplex(seg, "to the child", nil)
	WantNil(t, "NewSimplex", err)
	receive, fromChild, err := ring.NewSimplex(seg, "", &ring.PipeOptions{Capacity: 4096})
	WantNil(t, "NewSimplex", err)
	p := Start(t, forwardTask, simplexJob{toChild, fromChild})
	WantNil(t, "Close", errors.Join(toChild.Close(), fromChild.Close()))
	const n = 30
	sent := Async(func() error {
		for i := range n {
			if err := send.Send(ctx, pattern(make([]byte, i*i*i), i)); err != nil {
				return err
			}
		}
		return send.Close()
	})
	for i := range n {
		WantNil(t, "Poll", receive.Poll(ctx))
		msg, err := receive.Receive(ctx)
		WantNil(t, "Receive", err)
		if string(msg) != string(pattern(make([]byte, i*i*i), i)) {
			t.Errorf("message %d of %d bytes is wrong", i, len(msg))
		}
	}
	WantError(t, "Receive", Second(receive.Receive(ctx)), io.EOF)
	WantNil(t, "Send", Await(t, sent, "sender"))
	Want(t, "messages", Result(t, p), n)
	WantError(t, "TrySend", send.TrySend(nil), ring.ErrClosed)
}

// TestSimplexIsOpened opens the ends by name and by handle, and nothing else by these.
func TestSimplexIsOpened(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		r, w, err := ring.NewSimplex(seg, "one way", nil)
		WantNil(t, "NewSimplex", err)
		r2 := Closing(t, Must(ring.OpenReadEnd(seg, "one way"))(t))
		w2 := Closing(t, Must(ring.OpenWriteEnd(seg, "one way"))(t))
		WantNil(t, "TrySend", w2.TrySend([]byte("x")))
		msg, err := r2.TryReceive()
		if err != nil || string(msg) != "x" {
			t.Errorf("TryReceive: %q, %v", msg, err)
		}
		var r3 ring.ReadEnd
		WantNil(t, "UnmarshalText", r3.UnmarshalText(Must(r.MarshalText())(t)))
		Closing(t, &r3)
		WantError(t, "UnmarshalText", r3.UnmarshalText(Must(w.MarshalText())(t)), shm.ErrHandle)
		var w3 ring.WriteEnd
		WantError(t, "UnmarshalText", w3.UnmarshalText(Must(r.MarshalText())(t)), shm.ErrHandle)
		var c ring.Conn
		WantError(t, "UnmarshalText", c.UnmarshalText(Must(w.MarshalText())(t)), shm.ErrMismatch)
		WantError(t, "OpenPipe", Second(ring.OpenPipe(seg, "one way", ring.A)), shm.ErrMismatch)
		a, _ := newPipe(t, seg, 0)
		WantError(t, "UnmarshalText", w3.UnmarshalText(Must(a.MarshalText())(t)), shm.ErrMismatch)
		WantNil(t, "Close", errors.Join(w.Close(), w2.Close()))
		WantNil(t, "TryPoll at the end", r.TryPoll())
		WantError(t, "TryReceive", Second(r.TryReceive()), io.EOF)
		WantNil(t, "Close", r.Close())
		WantError(t, "TryPoll", r.TryPoll(), ring.ErrClosed)
	})
}
