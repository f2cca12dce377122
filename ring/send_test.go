package ring_test

import (
	"context"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

type letter struct {
	ID   int
	To   string
	Tags []string
	Sent time.Time
	More map[string]any
}

func TestSendAnyType(t *testing.T) {
	seg := Must(shm.Heap(1 << 20))(t)
	a, b, err := ring.NewPipe(seg, "", &ring.PipeOptions{Capacity: 8192})
	WantNil(t, "NewPipe", err)
	ctx := t.Context()
	for _, want := range []letter{
		{1, "you", []string{"x", ""}, time.Unix(1, 2).UTC(), map[string]any{"list": []any{1, "two", nil}}},
		{},
		{To: strings.Repeat("long ", 700)}, // longer than a new buffer
	} {
		WantNil(t, "Send", ring.Send(ctx, a, want))
		if got := Must(ring.Receive[letter](ctx, b))(t); !reflect.DeepEqual(got, want) {
			t.Errorf("received %+v, want %+v", got, want)
		}
	}
	// Strings and bytes are sent as they are.
	WantNil(t, "Send", ring.Send(ctx, a, "text"))
	if got := Must(b.Receive(ctx))(t); string(got) != "text" {
		t.Errorf("received %q", got)
	}
	WantNil(t, "Send", b.Send(ctx, []byte("bytes")))
	if got := Must(ring.Receive[[]byte](ctx, a))(t); string(got) != "bytes" {
		t.Errorf("received %q", got)
	}
}

func TestSendErrors(t *testing.T) {
	seg := Must(shm.Heap(1 << 20))(t)
	a, b, err := ring.NewPipe(seg, "talk", nil)
	WantNil(t, "NewPipe", err)
	ctx := t.Context()
	const pipe = `pipe "talk"`
	WantFailure(t, "Send", pipe, ring.Send(ctx, a, make(chan int)), shm.ErrType)
	WantFailure(t, "Send", pipe, ring.Send[any](ctx, a, make(chan int)), ring.ErrEncode)
	WantFailure(t, "Receive", pipe, Second(ring.Receive[chan int](ctx, b)), shm.ErrType)
	WantFailure(t, "Receive", pipe, Second(ring.Receive[int](Expired, b)), context.Canceled)
	long := strings.Repeat("x", 1<<20) // longer than the ring
	sent := Async(func() error { return ring.Send(ctx, a, long) })
	Want(t, "long string", Must(ring.Receive[string](ctx, b))(t) == long, true)
	WantNil(t, "Send", Await(t, sent, "Send"))
	// What is of another type is received and reported, and the next message is the next.
	WantNil(t, "Send", ring.Send(ctx, a, 1))
	WantNil(t, "Send", ring.Send(ctx, a, "x"))
	WantNil(t, "Send", ring.Send(ctx, a, 2))
	WantFailure(t, "Receive", pipe, Second(ring.Receive[letter](ctx, b)), ring.ErrDecode)
	WantFailure(t, "Receive", pipe, Second(ring.Receive[int](ctx, b)), ring.ErrDecode)
	if got := Must(ring.Receive[int](ctx, b))(t); got != 2 {
		t.Errorf("received %d, want 2", got)
	}
	WantNil(t, "Close", a.Close())
	if _, err := ring.Receive[int](ctx, b); err != io.EOF {
		t.Errorf("at the end: error %v, want io.EOF", err)
	}
	WantFailure(t, "Send", pipe, ring.Send(ctx, b, 1), ring.ErrBrokenPipe)
	WantFailure(t, "Send", "pipe", ring.Send(ctx, a, 1), ring.ErrClosed)
	WantFailure(t, "Send", "pipe", ring.Send(ctx, a, make(chan int)), shm.ErrType)
	if _, err := ring.DefaultCodec[func()](); !errors.Is(err, shm.ErrType) {
		t.Errorf("DefaultCodec of a function: %v, want shm.ErrType", err)
	}
}
