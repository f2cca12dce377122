package ring_test

import (
	"context"
	"io"
	"testing"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

// TestErrorTable provokes each error of the package.
func TestErrorTable(t *testing.T) {
	seg := Anonymous(t, 1<<20)
	ctx := t.Context()
	const queue, pipe = `queue "words"`, `pipe "talk"`
	q := Must(ring.NewQueue[uint64](seg, "words", 1, nil))(t)
	a, b, err := ring.NewPipe(seg, "talk", &ring.PipeOptions{Capacity: 4096})
	WantNil(t, "NewPipe", err)
	var v uint64
	buf := make([]byte, 2000)
	fails := func(op, object string, err, is error) {
		t.Helper()
		WantFailure(t, op, object, err, is)
	}
	fails("TryGet", queue, Second(q.TryGet()), ring.ErrEmpty)
	fails("TryGetInto", queue, q.TryGetInto(&v), ring.ErrEmpty)
	fails("Get", queue, Second(q.Get(Expired)), context.Canceled)
	fails("GetInto", queue, q.GetInto(Expired, &v), context.Canceled)
	fails("TryReceive", pipe, Second(b.TryReceive()), ring.ErrEmpty)
	fails("TryReceiveInto", pipe, Second(b.TryReceiveInto(buf)), ring.ErrEmpty)
	fails("Receive", pipe, Second(b.Receive(Expired)), context.Canceled)
	fails("ReceiveInto", pipe, Second(b.ReceiveInto(Expired, buf)), context.Canceled)
	fails("ReceiveInPlace", pipe, Second(b.ReceiveInPlace(Expired)), context.Canceled)
	WantNil(t, "Put", q.Put(ctx, 7))
	WantNil(t, "Send", a.Send(ctx, buf))
	fails("TryPut", queue, q.TryPut(8), ring.ErrFull)
	fails("TryPutFrom", queue, q.TryPutFrom(&v), ring.ErrFull)
	fails("Put", queue, q.Put(Expired, 8), context.Canceled)
	fails("PutFrom", queue, q.PutFrom(Expired, &v), context.Canceled)
	fails("TryReceiveInto", pipe, Second(b.TryReceiveInto(buf[:1])), io.ErrShortBuffer)
	WantNil(t, "Send", a.Send(ctx, buf))
	fails("TrySend", pipe, a.TrySend(buf), ring.ErrFull)
	fails("Send", pipe, a.Send(Expired, buf), context.Canceled)
	fails("Send", pipe, a.Send(ctx, make([]byte, 1<<20)), ring.ErrTooLarge)
	fails("Reserve", pipe, Second(a.Reserve(Expired, len(buf))), context.Canceled)
	sender := Must(a.Sender(ctx))(t)
	fails("TrySend", pipe, a.TrySend(nil), ring.ErrBusy)
	fails("Sender.Commit", pipe, sender.Commit(), ring.ErrNothingReserved)
	fails("Sender.Reserve", pipe, Second(sender.Reserve(Expired, len(buf))), context.Canceled)
	WantNil(t, "Close", sender.Close())
	fails("Sender.Reserve", pipe, Second(sender.Reserve(ctx, 1)), ring.ErrClosed)
	var r ring.Reservation
	fails("Commit", "pipe", r.Commit(), ring.ErrNothingReserved)
	receiver := Must(b.Receiver(ctx))(t)
	fails("TryReceive", pipe, Second(b.TryReceive()), ring.ErrBusy)
	WantNil(t, "Close", receiver.Close())
	fails("Receiver.Receive", pipe, Second(receiver.Receive(ctx)), ring.ErrClosed)
	fails("Receiver.Release", pipe, receiver.Release(), ring.ErrClosed)
	fails("new queue", queue, Second(ring.NewQueue[uint64](seg, "words", 0, nil)), shm.ErrSize)
	fails("new queue", queue, Second(ring.NewQueue[string](seg, "words", 1, nil)), shm.ErrType)
	fails("open queue", queue, Second(ring.OpenQueue[uint32](seg, "words")), shm.ErrMismatch)
	WantNil(t, "Shutdown", q.Shutdown())
	fails("Put", queue, q.Put(ctx, 1), ring.ErrShutdown)
	Must(q.Get(ctx))(t)
	fails("Get", queue, Second(q.Get(ctx)), ring.ErrShutdown)
	WantNil(t, "Close", b.Close())
	fails("Send", pipe, a.Send(ctx, nil), ring.ErrBrokenPipe)
	WantNil(t, "Close", a.Close())
	WantNil(t, "Close", q.Close())
	fails("Send", "pipe", a.Send(ctx, nil), ring.ErrClosed)
	fails("Receive", "pipe", Second(a.Receive(ctx)), ring.ErrClosed)
	fails("Put", "queue", q.Put(ctx, 1), ring.ErrClosed)
	fails("Get", "queue", Second(q.Get(ctx)), ring.ErrClosed)
	fails("Shutdown", "queue", q.Shutdown(), ring.ErrClosed)
}

// TestPollingDoesNotAllocate shows that each error of polling is made once.
func TestPollingDoesNotAllocate(t *testing.T) {
	seg := Anonymous(t, 1<<20)
	q := Closing(t, Must(ring.NewQueue[uint64](seg, "", 1, nil))(t))
	a, b, err := ring.NewPipe(seg, "", &ring.PipeOptions{Capacity: 4096})
	WantNil(t, "NewPipe", err)
	defer a.Close()
	defer b.Close()
	full := Closing(t, Must(ring.NewQueue[uint64](seg, "", 1, nil))(t))
	WantNil(t, "TryPut", full.TryPut(1))
	for name, f := range map[string]func(){
		"TryGet":     func() { _, _ = q.TryGet() },
		"TryPut":     func() { _ = full.TryPut(1) },
		"TryReceive": func() { _, _ = b.TryReceive() },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}
