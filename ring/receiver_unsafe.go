package ring

import (
	"context"
	"runtime"
	"unsafe"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/fence"
	"github.com/seed-2e7ecdea/mp/internal/wait"
)

// A Receiver has the receiving side of a pipe's end for itself, from
// Conn.Receiver until Close, and reads messages where they lie in the ring. It is
// the fastest way to receive: what the other ways do for each message, it does
// once.
//
// Others who want to receive from that end wait until Close. If the process
// dies, the side is free, and the message in hand is received by another.
//
// A Receiver is for one goroutine at a time. One that is forgotten blocks that
// side until the process ends.
type Receiver struct {
	ring   unsafe.Pointer
	places uint64
	size   uint64
	head   uint64 // where the message in hand is, or the next
	n      int    // length of the message in hand, -1 if there is none
	how    stay
	room   *wait.Room // one that is closed if the Receiver is
	w      *streamWords
	k      *connCore
	c      *Conn // is not forgotten meanwhile
}

// closedRoom is the room of what is closed.
var closedRoom = func() *wait.Room {
	r := new(wait.Room)
	r.Close()
	return r
}()

// Receiver takes the receiving side for itself. It blocks while another has it,
// until ctx ends. It fails with ErrClosed.
func (c *Conn) Receiver(ctx context.Context) (*Receiver, error) {
	k := c.core.Load()
	if k == nil {
		return nil, ErrClosed
	}
	how, err := k.in.rx.enterSlow(ctx)
	if err != nil {
		return nil, err
	}
	if crash.Enabled {
		crash.At(crash.PipeReceiveEntered)
	}
	return &Receiver{
		ring: k.in.ring, places: k.in.places, size: k.in.size, head: k.in.w.head.Load(), n: -1,
		how: how, room: k.room, w: k.in.w, k: k, c: c,
	}, nil
}

// Receive gives back the message in hand, which is received by that, and
// returns the next one, which is valid until the next Receive, Release or Close,
// and must not be written. It blocks while there is none, until ctx ends (ctx's
// error; it tries once even if ctx has ended already). It fails with io.EOF at
// the end, or ErrClosed.
func (x *Receiver) Receive(ctx context.Context) ([]byte, error) {
	if x.n >= 0 {
		x.release()
	}
	at := x.head & x.places
	h := word(x.ring, at).Load()
	n := h >> lengthShift
	if h&kindMask != kindRecord || n > x.size-at-recordHead || x.room.Closed() || x.k.closed.Load() {
		return x.receiveSlow(ctx)
	}
	x.n = int(n)
	return unsafe.Slice((*byte)(unsafe.Add(x.ring, at+recordHead)), int(n)), nil
}

func (x *Receiver) receiveSlow(ctx context.Context) ([]byte, error) {
	k := x.k
	if x.how == left {
		return nil, ErrClosed
	}
	var at uint64
	var n int
	attempt := func() (err error) {
		if k.closed.Load() {
			return ErrClosed
		}
		at, n, err = k.in.front()
		return err
	}
	err := attempt()
	if err == ErrEmpty && k.glance() {
		err = attempt()
	}
	if err == ErrEmpty {
		err = x.c.receiveSlow(ctx, k, attempt)
	}
	x.head = k.in.w.head.Load() // also if there is none: a filler may have been passed
	if err != nil {
		return nil, k.unlessClosed(err)
	}
	x.n = n
	return k.in.message(at, n), k.unlessClosed(nil)
}

// Release gives back the message in hand, which is received by that. It fails
// with ErrClosed. Without one in hand it does nothing.
func (x *Receiver) Release() error {
	if x.n >= 0 {
		x.release()
	}
	if x.how == left {
		return ErrClosed
	}
	return x.k.unlessClosed(nil)
}

func (x *Receiver) release() {
	if crash.Enabled {
		crash.At(crash.PipeReceiveCopied) // the message stays for the next receiver
	}
	w := x.w
	x.head += recordSize(x.n)
	x.n = -1
	fence.Publish64(&w.head, x.head)
	if crash.Enabled {
		crash.At(crash.PipeReceiveMoved)
	}
	w.writable.Notify()
}

// Close lets others receive. A message in hand stays for them. Closing twice is
// fine.
func (x *Receiver) Close() error {
	if x.how == left {
		return nil
	}
	x.k.in.rx.leaveAs(x.how)
	x.how, x.n, x.room = left, -1, closedRoom
	if crash.Enabled {
		crash.At(crash.PipeReceiveLeft)
	}
	runtime.KeepAlive(x.c)
	return nil
}
