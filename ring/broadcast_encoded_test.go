//go:build linux

package ring_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

// stored are options for a broadcast with that many blocks of storage.
func stored(blocks int) *ring.BroadcastOptions { return &ring.BroadcastOptions{Storage: blocks << 10} }

// wantNoneAstray checks that each block of b's storage is free, stale, or of a message that is left.
func wantNoneAstray[T any](t testing.TB, b *ring.Broadcast[T]) {
	t.Helper()
	Want(t, "blocks that are in use for no value", b.BlocksAstray(), 0)
}

func TestBroadcastEncodedTypes(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		tell(t, seg, "string", "", "a", strings.Repeat("b", 112), strings.Repeat("c", 113), strings.Repeat("d", 30000))
		tell(t, seg, "bytes", []byte{}, []byte("a"), pattern(make([]byte, 112), 1), pattern(make([]byte, 1008), 2),
			pattern(make([]byte, 1009), 3), pattern(make([]byte, 200000), 4))
		tell(t, seg, "struct", person{}, person{"ann", []int{3, 1}, map[string]any{"a": 1, "b": []any{"x", 2.5}},
			&person{Name: strings.Repeat("bob", 1000)}})
		tell(t, seg, "map", nil, map[string]any{}, map[string]any{"k": map[string]any{"n": nil}})
		tell(t, seg, "any", any(nil), any("s"), any(4))
		tell(t, seg, "codec of the program", counter{}, counter{1 << 30})
	})
}

// tell checks that values come out of a broadcast as they were published, by each of the methods, to
// a subscriber that misses nothing and to one that may.
func tell[T any](t *testing.T, seg *shm.Segment, what string, values ...T) {
	t.Helper()
	ctx := Within(t)
	b := newBroadcast[T](t, seg, len(values), stored(1500))
	all, some := subscribe(t, b, nil), subscribe(t, b, lossy)
	check := func(by string, want T, v T, err error) {
		t.Helper()
		if err != nil || !reflect.DeepEqual(v, want) {
			t.Errorf("%s by %s: received %.100v, %v, want %.100v", what, by, v, err, want)
		}
	}
	publish := []func(v T) error{
		func(v T) error { return b.Publish(ctx, v) },
		func(v T) error { return b.PublishFrom(ctx, &v) },
		b.TryPublish,
		func(v T) error { return b.TryPublishFrom(&v) },
	}
	for round := range 8 { // more than one lap
		for i, want := range values {
			WantNil(t, what+": Publish", publish[(round+i)%len(publish)](want))
			var v T
			var err error
			switch (round + i) % 4 {
			case 0:
				v, err = all.Receive(ctx)
			case 1:
				v, err = all.TryReceive()
			case 2:
				err = all.ReceiveInto(ctx, &v)
			case 3:
				err = all.TryReceiveInto(&v)
			}
			check("a subscriber", want, v, err)
			v, err = some.Receive(ctx)
			check("a lossy subscriber", want, v, err)
			WantError(t, "TryReceive", Second(all.TryReceive()), ring.ErrEmpty)
		}
		wantNoneAstray(t, b)
	}
	late := subscribe(t, b, &ring.SubscribeOptions{Oldest: true})
	first := b.Cap() - len(values)
	for i := range b.Cap() {
		v, err := late.Receive(ctx)
		check("a late subscriber", values[(len(values)-first+i)%len(values)], v, err)
	}
	WantNil(t, "Close", late.Close())
	WantNil(t, "Close", some.Close())
	received := Async(func() error { return Second(all.Receive(ctx)) })
	WantNil(t, "Publish", b.Publish(ctx, values[0]))
	WantNil(t, "a Receive that waits", Await(t, received, "a Receive that waits"))
	WantNil(t, "Shutdown", b.Shutdown())
	WantError(t, "Publish", b.Publish(ctx, values[0]), ring.ErrShutdown)
	WantError(t, "Receive", Second(all.Receive(ctx)), ring.ErrShutdown)
	WantNil(t, "Close", all.Close())
	WantError(t, "Receive", Second(all.Receive(ctx)), ring.ErrClosed)
	WantNil(t, "Close", b.Close())
	WantError(t, "Publish", b.Publish(ctx, values[0]), ring.ErrClosed)
}

// TestBroadcastEncodedStorage shows what happens when the storage is full before the slots are: old
// values give way that all lossless subscribers have received, and then publishers wait.
func TestBroadcastEncodedStorage(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		ctx := Within(t)
		b := newBroadcast[[]byte](t, seg, 16, stored(100))
		all, some := subscribe(t, b, nil), subscribe(t, b, lossy)
		whole, half, long, short := make([]byte, 100*1008), make([]byte, 50*1008), make([]byte, 113), make([]byte, 112)
		receive := func(s *ring.Subscriber[[]byte], want []byte) {
			t.Helper()
			if v, err := s.Receive(ctx); !bytes.Equal(v, want) {
				t.Fatalf("received %d bytes, %v, want %d", len(v), err, len(want))
			}
		}
		WantError(t, "larger than the storage", b.Publish(ctx, append(whole, 1)), ring.ErrTooLarge)
		for range 5 {
			WantNil(t, "whole", b.TryPublish(whole))
			WantError(t, "full", b.TryPublish(long), ring.ErrFull)
			WantNil(t, "short", b.TryPublish(short))
			waits := Async(func() error { return b.Publish(ctx, half) })
			little := Async(func() error { return b.Publish(ctx, long) })
			receive(all, whole)
			WantNil(t, "a Publish that waits for storage", Await(t, waits, "Publish"))
			WantNil(t, "a Publish that waits for storage", Await(t, little, "Publish"))
			receive(all, short)
			for range 2 {
				if v, err := all.Receive(ctx); err != nil || len(v) != len(half) && len(v) != len(long) {
					t.Fatalf("received %d bytes, %v", len(v), err)
				}
			}
			var lost *ring.LostError
			if err := Second(some.Receive(ctx)); !errors.As(err, &lost) || lost.Count != 1 {
				t.Fatalf("a subscriber whose value gave way: %v", err)
			}
			receive(some, short)
			for range 2 {
				Must(some.Receive(ctx))(t)
			}
			wantNoneAstray(t, b)
		}

		// A late subscriber begins at the oldest value that is left.
		WantNil(t, "short", b.Publish(ctx, short))
		WantNil(t, "whole", b.Publish(ctx, half))
		receive(all, short)
		receive(all, half)
		WantNil(t, "whole", b.Publish(ctx, whole))
		late := subscribe(t, b, &ring.SubscribeOptions{Oldest: true})
		receive(late, whole)
		Want(t, "Lost", late.Lost(), 0)

		// Close of a subscriber, and Shutdown, wake publishers that wait for storage.
		waits := Async(func() error { return b.Publish(ctx, half) })
		WantNil(t, "Close", all.Close())
		WantNil(t, "a Publish that waits for storage", Await(t, waits, "Publish"))
		waits = Async(func() error { return b.Publish(ctx, whole) })
		WantNil(t, "Shutdown", b.Shutdown())
		WantError(t, "a Publish that waits for storage", Await(t, waits, "Publish"), ring.ErrShutdown)
	})
}

func TestBroadcastEncodedErrors(t *testing.T) {
	ctx := context.Background()
	seg := Heap(t, room)
	b := newBroadcast[shy](t, seg, 4, stored(10))
	s := subscribe(t, b, nil)
	WantError(t, "Publish", b.Publish(ctx, "mute"), errShy)
	WantError(t, "a value that can't be encoded uses no slot", Second(s.TryReceive()), ring.ErrEmpty)
	WantNil(t, "Publish", b.Publish(ctx, shy("deaf"+strings.Repeat("x", 1000))))
	WantNil(t, "Publish", b.Publish(ctx, "hello"))
	err := Second(s.Receive(ctx))
	WantError(t, "Receive", err, errShy)
	WantError(t, "Receive", err, ring.ErrDecode)
	if v, err := s.Receive(ctx); v != "hello" {
		t.Errorf("received %q, %v", v, err)
	}
	n := Closing(t, Must(ring.NewBroadcast[map[string]int](seg, "b", 1, nil))(t))
	WantError(t, "another type", Second(ring.OpenBroadcast[string](seg, "b")), shm.ErrMismatch)
	WantError(t, "fixed layout", Second(ring.OpenBroadcast[uint64](seg, "b")), shm.ErrMismatch)
	text := Must(n.MarshalText())(t)
	WantError(t, "handle of another type", new(ring.Broadcast[map[string]bool]).UnmarshalText(text), shm.ErrMismatch)
	for _, size := range []int{-1, math.MaxInt} {
		WantError(t, fmt.Sprint("storage of ", size), Second(ring.NewBroadcast[string](seg, "", 1, &ring.BroadcastOptions{Storage: size})), shm.ErrSize)
	}
}
