package ring_test

import (
	"context"
	"io"
	"io/fs"
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
	fails("TrySend", pipe, a.TrySend(make([]byte, 1<<20)), ring.ErrTooLarge)
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
	fails("new queue", queue, Second(ring.NewQueue[func()](seg, "words", 1, nil)), shm.ErrType)
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

// TestBroadcastErrorTable provokes each error of a broadcast and its subscribers.
func TestBroadcastErrorTable(t *testing.T) {
	seg := Anonymous(t, 1<<20)
	ctx := t.Context()
	const news = `broadcast "news"`
	b := Must(ring.NewBroadcast[uint64](seg, "news", 1, &ring.BroadcastOptions{Subscribers: 1}))(t)
	s := Must(b.Subscribe(nil))(t)
	slow := Must(b.Subscribe(lossy))(t)
	var v uint64
	fails := func(op, object string, err, is error) {
		t.Helper()
		WantFailure(t, op, object, err, is)
	}
	fails("Subscribe", news, Second(b.Subscribe(nil)), ring.ErrTooManySubscribers)
	fails("TryReceive", news, Second(s.TryReceive()), ring.ErrEmpty)
	fails("TryReceiveInto", news, s.TryReceiveInto(&v), ring.ErrEmpty)
	fails("Receive", news, Second(s.Receive(Expired)), context.Canceled)
	fails("ReceiveInto", news, s.ReceiveInto(Expired, &v), context.Canceled)
	WantNil(t, "PublishFrom", b.PublishFrom(ctx, &v))
	fails("TryPublish", news, b.TryPublish(1), ring.ErrFull)
	fails("TryPublishFrom", news, b.TryPublishFrom(&v), ring.ErrFull)
	fails("Publish", news, b.Publish(Expired, 1), context.Canceled)
	fails("PublishFrom", news, b.PublishFrom(Expired, &v), context.Canceled)
	WantNil(t, "ReceiveInto", s.ReceiveInto(ctx, &v))
	WantNil(t, "TryPublishFrom", b.TryPublishFrom(&v))
	fails("TryReceive", news, Second(slow.TryReceive()), ring.ErrLost)
	WantNil(t, "TryReceiveInto", slow.TryReceiveInto(&v))
	fails("new broadcast", news, Second(ring.NewBroadcast[uint64](seg, "news", 0, nil)), shm.ErrSize)
	fails("new broadcast", news, Second(ring.NewBroadcast[uint64](seg, "news", 1<<30, nil)), shm.ErrSize)
	fails("new broadcast", news, Second(ring.NewBroadcast[uint64](seg, "news", 1, &ring.BroadcastOptions{Subscribers: -1})), shm.ErrSize)
	fails("new broadcast", news, Second(ring.NewBroadcast[func()](seg, "news", 1, nil)), shm.ErrType)
	fails("new broadcast", news, Second(ring.NewBroadcast[uint64](seg, "news", 1, nil)), fs.ErrExist)
	fails("open broadcast", news, Second(ring.OpenBroadcast[uint32](seg, "news")), shm.ErrMismatch)
	WantNil(t, "Shutdown", b.Shutdown())
	fails("Publish", news, b.Publish(ctx, 1), ring.ErrShutdown)
	fails("TryPublish", news, b.TryPublish(1), ring.ErrShutdown)
	Must(s.Receive(ctx))(t)
	fails("Receive", news, Second(s.Receive(ctx)), ring.ErrShutdown)
	WantNil(t, "Close", s.Close())
	fails("Receive", "broadcast", Second(s.Receive(ctx)), ring.ErrClosed)
	fails("ReceiveInto", "broadcast", s.ReceiveInto(ctx, &v), ring.ErrClosed)
	fails("TryReceive", "broadcast", Second(s.TryReceive()), ring.ErrClosed)
	fails("TryReceiveInto", "broadcast", s.TryReceiveInto(&v), ring.ErrClosed)
	Want(t, "Lag and Lost", s.Lag()+s.Lost(), 0)
	WantNil(t, "Close", b.Close())
	fails("Publish", "broadcast", b.Publish(ctx, 1), ring.ErrClosed)
	fails("PublishFrom", "broadcast", b.PublishFrom(ctx, &v), ring.ErrClosed)
	fails("TryPublish", "broadcast", b.TryPublish(1), ring.ErrClosed)
	fails("TryPublishFrom", "broadcast", b.TryPublishFrom(&v), ring.ErrClosed)
	fails("Subscribe", "broadcast", Second(b.Subscribe(nil)), ring.ErrClosed)
	fails("Shutdown", "broadcast", b.Shutdown(), ring.ErrClosed)
	fails("MarshalText", "broadcast", Second(b.MarshalText()), ring.ErrClosed)
	WantError(t, "Cap", PanicOf(func() { b.Cap() }).(error), ring.ErrClosed)
	fails("Receive", news, Second(slow.Receive(ctx)), ring.ErrShutdown) // it outlives b
	WantNil(t, "Close", slow.Close())
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
	bc := newBroadcast[uint64](t, seg, 1, nil)
	empty := subscribe(t, bc, nil)
	WantNil(t, "TryPublish", bc.TryPublish(1))
	WantNil(t, "TryReceive", Second(empty.TryReceive()))
	behind := subscribe(t, bc, nil)
	WantNil(t, "TryPublish", bc.TryPublish(1))
	WantNil(t, "TryReceive", Second(empty.TryReceive()))
	for name, f := range map[string]func(){
		"TryGet":                     func() { _, _ = q.TryGet() },
		"TryPut":                     func() { _ = full.TryPut(1) },
		"TryReceive":                 func() { _, _ = b.TryReceive() },
		"TryPublish":                 func() { _ = bc.TryPublish(1) },
		"TryReceive of a subscriber": func() { _, _ = empty.TryReceive() },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
	Want(t, "Lag", behind.Lag(), 1)
}
