//go:build linux

package ring_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"testing"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

func TestInPlace(t *testing.T) {
	for _, test := range []struct {
		name string
		f    func(t *testing.T, a, b *ring.Conn)
	}{
		{"commit_and_abort", testCommitAndAbort},
		{"misuse", testInPlaceMisuse},
		{"reservation_excludes", testReservationExcludes},
		{"message_excludes", testMessageExcludes},
		{"close_while_waiting_for_the_turn", testCloseWhileWaitingForTurn},
		{"stream", testInPlaceStream},
		{"after_close_of_the_other_end", testInPlaceEnd},
	} {
		t.Run(test.name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, seg *shm.Segment) {
				a, b := newPipe(t, seg, 4096)
				t.Run("alone", func(t *testing.T) { test.f(t, a, b) })
				a, b = newPipe(t, seg, 4096)
				revoke(t, a, b)
				t.Run("in_turns", func(t *testing.T) { test.f(t, a, b) })
			})
		})
	}
}

// reserve reserves space for msg and copies msg into it.
func reserve(t testing.TB, c *ring.Conn, msg []byte) ring.Reservation {
	t.Helper()
	r, err := c.Reserve(Within(t), len(msg))
	if err != nil || len(r.Bytes()) != len(msg) || cap(r.Bytes()) != len(msg) {
		t.Fatalf("Reserve(%d): %d bytes of %d, %v", len(msg), len(r.Bytes()), cap(r.Bytes()), err)
	}
	copy(r.Bytes(), msg)
	return r
}

func testCommitAndAbort(t *testing.T, a, b *ring.Conn) {
	for n := 0; n <= 2000; n += 17 {
		msg := pattern(make([]byte, n), n)
		r := reserve(t, a, bytes.Repeat([]byte{0xee}, n))
		if _, err := b.TryReceive(); !errors.Is(err, ring.ErrEmpty) {
			t.Fatalf("TryReceive before Commit: %v, want ErrEmpty", err)
		}
		r.Abort()
		r = reserve(t, a, msg)
		WantNil(t, "Commit", r.Commit())
		m, err := b.ReceiveInPlace(t.Context())
		if err != nil || !bytes.Equal(m.Bytes(), msg) {
			t.Fatalf("ReceiveInPlace: %d bytes, %v, want %d", len(m.Bytes()), err, n)
		}
		WantNil(t, "Release", m.Release())
		if _, err := b.TryReceive(); !errors.Is(err, ring.ErrEmpty) {
			t.Fatalf("TryReceive after Release: %v", err)
		}
	}
}

func testInPlaceMisuse(t *testing.T, a, b *ring.Conn) {
	WantError(t, "Reserve", Second(a.Reserve(t.Context(), a.Limit()+1)), ring.ErrTooLarge)
	WantError(t, "Reserve, expired", Second(a.Reserve(Expired, 1<<30)), ring.ErrTooLarge)
	r := reserve(t, a, []byte("once"))
	WantNil(t, "Commit", r.Commit())
	WantError(t, "second Commit", r.Commit(), ring.ErrNothingReserved)
	r.Abort() // does nothing
	if r.Bytes() != nil {
		t.Error("a Reservation has bytes after Commit")
	}
	m, err := b.ReceiveInPlace(t.Context())
	if err != nil || string(m.Bytes()) != "once" {
		t.Fatalf("ReceiveInPlace: %q, %v", m.Bytes(), err)
	}
	WantNil(t, "Release", m.Release())
	WantNil(t, "second Release", m.Release())
	if m.Bytes() != nil {
		t.Error("a Message has bytes after Release")
	}
	var noR ring.Reservation
	noR.Abort()
	var noM ring.Message
	if noR.Bytes() != nil || noM.Bytes() != nil {
		t.Error("zero values have bytes")
	}
	WantError(t, "Commit of nothing", noR.Commit(), ring.ErrNothingReserved)
	WantNil(t, "Release of nothing", noM.Release())
	// Abort releases the side.
	r = reserve(t, a, []byte("x"))
	r.Abort()
	WantError(t, "Commit after Abort", r.Commit(), ring.ErrNothingReserved)
	WantNil(t, "TrySend", Await(t, Async(func() error { return a.TrySend([]byte("y")) }), "sender"))
	receive(t, b, []byte("y"))
}

func testReservationExcludes(t *testing.T, a, b *ring.Conn) {
	r := reserve(t, a, []byte("first"))
	other := Async(func() error {
		WantError(t, "TrySend", a.TrySend(nil), ring.ErrBusy)
		WantError(t, "Send, expired", a.Send(Expired, nil), context.Canceled)
		WantError(t, "Reserve, expired", Second(a.Reserve(Expired, 0)), context.Canceled)
		return nil
	})
	WantNil(t, "other", Await(t, other, "sender that does not wait"))
	sent := Async(func() error { return a.Send(context.Background(), []byte("second")) })
	AwaitAsleep(t, os.Getpid(), 1)
	WantNil(t, "Commit", r.Commit())
	WantNil(t, "Send", Await(t, sent, "sender that waits for its turn"))
	receive(t, b, []byte("first"))
	receive(t, b, []byte("second"))
}

func testMessageExcludes(t *testing.T, a, b *ring.Conn) {
	WantNil(t, "TrySend", a.TrySend([]byte("first")))
	WantNil(t, "TrySend", a.TrySend([]byte("second")))
	m, err := b.ReceiveInPlace(t.Context())
	WantNil(t, "ReceiveInPlace", err)
	other := Async(func() error {
		WantError(t, "TryReceive", Second(b.TryReceive()), ring.ErrBusy)
		WantError(t, "TryReceiveInto", Second(b.TryReceiveInto(nil)), ring.ErrBusy)
		WantError(t, "Receive, expired", Second(b.Receive(Expired)), context.Canceled)
		WantError(t, "ReceiveInPlace, expired", Second(b.ReceiveInPlace(Expired)), context.Canceled)
		return nil
	})
	Await(t, other, "receiver that does not wait")
	received := Async(func() error {
		receive(t, b, []byte("second"))
		return nil
	})
	AwaitAsleep(t, os.Getpid(), 1)
	if string(m.Bytes()) != "first" {
		t.Errorf("the message is %q", m.Bytes())
	}
	WantNil(t, "Release", m.Release())
	Await(t, received, "receiver that waits for its turn")
}

// A goroutine that waits for its turn on a side returns when the end is closed.
func testCloseWhileWaitingForTurn(t *testing.T, a, b *ring.Conn) {
	r := reserve(t, a, []byte("x"))
	sent := Async(func() error { return a.Send(context.Background(), nil) })
	AwaitAsleep(t, os.Getpid(), 1)
	WantNil(t, "Close", a.Close())
	WantError(t, "Send", Await(t, sent, "Send of a closed end that waits for its turn"), ring.ErrClosed)
	r.Abort()

	m, err := b.ReceiveInPlace(t.Context())
	WantError(t, "ReceiveInPlace at the end", err, io.EOF)
	m.Release()
}

func testInPlaceStream(t *testing.T, a, b *ring.Conn) {
	const n = 3000
	ctx := Within(t)
	sent := Async(func() error {
		for i := range n {
			r, err := a.Reserve(ctx, i%601)
			if err != nil {
				return err
			}
			pattern(r.Bytes(), i)
			if i%5 == 0 {
				r.Abort()
				if r, err = a.Reserve(ctx, i%601); err != nil {
					return err
				}
				pattern(r.Bytes(), i)
			}
			if err := r.Commit(); err != nil {
				return err
			}
		}
		return nil
	})
	for i := range n {
		m, err := b.ReceiveInPlace(ctx)
		if err != nil || !bytes.Equal(m.Bytes(), pattern(make([]byte, i%601), i)) {
			t.Fatalf("message %d: %d bytes, %v", i, len(m.Bytes()), err)
		}
		WantNil(t, "Release", m.Release())
	}
	WantNil(t, "sender", Await(t, sent, "sender"))
}

// A message that was received in place stays valid when the other end is closed.
func testInPlaceEnd(t *testing.T, a, b *ring.Conn) {
	WantNil(t, "TrySend", a.TrySend([]byte("last")))
	m, err := b.ReceiveInPlace(t.Context())
	WantNil(t, "ReceiveInPlace", err)
	WantNil(t, "Close", a.Close())
	if string(m.Bytes()) != "last" {
		t.Errorf("the message is %q", m.Bytes())
	}
	WantNil(t, "Release", m.Release())
	WantError(t, "ReceiveInPlace", Second(b.ReceiveInPlace(t.Context())), io.EOF)
	WantError(t, "Reserve", Second(b.Reserve(t.Context(), 1)), ring.ErrBrokenPipe)
}

// TestHolderWaitsForItself shows that a goroutine that holds a message or a reservation and asks
// for another one on the same side must wait, like any other goroutine, and that no message is
// lost.
func TestHolderWaitsForItself(t *testing.T) {
	seg := Anonymous(t, room)
	a, b, err := ring.NewPipe(seg, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx := Within(t)
	for _, m := range []string{"a", "b", "c", "d", "e"} {
		if err := a.Send(ctx, []byte(m)); err != nil {
			t.Fatal(err)
		}
	}
	var got string
	receive := func() {
		t.Helper()
		m, err := b.Receive(ctx)
		if err != nil {
			t.Fatal(err)
		}
		got += string(m)
	}
	receive()
	m, err := b.ReceiveInPlace(ctx)
	if err != nil {
		t.Fatal(err)
	}
	got += string(m.Bytes())
	if _, err := b.TryReceive(); !errors.Is(err, ring.ErrBusy) {
		t.Errorf("TryReceive while a message is held: %v, want ErrBusy", err)
	}
	if err := m.Release(); err != nil {
		t.Fatal(err)
	}
	r, err := a.Reserve(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.TrySend([]byte("x")); !errors.Is(err, ring.ErrBusy) {
		t.Errorf("TrySend while a reservation is held: %v, want ErrBusy", err)
	}
	copy(r.Bytes(), "f")
	if err := r.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := a.Send(ctx, []byte("g")); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		receive()
	}
	if got != "abcdefg" {
		t.Errorf("received %q, want abcdefg", got)
	}
}

// TestCommitAfterClose shows that a message that is committed after Close is not sent.
func TestCommitAfterClose(t *testing.T) {
	a, b := newPipe(t, Anonymous(t, room), 0)
	ctx := Within(t)
	r, err := a.Reserve(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	WantNil(t, "Close", a.Close())
	if _, err := b.TryReceive(); err != io.EOF {
		t.Errorf("TryReceive when the other end is closed: %v, want EOF", err)
	}
	WantError(t, "Commit", r.Commit(), ring.ErrClosed)
	WantError(t, "second Commit", r.Commit(), ring.ErrNothingReserved)
}

// TestMisuseHoldsNothing shows that a call with invalid arguments fails before it claims anything.
func TestMisuseHoldsNothing(t *testing.T) {
	seg := Anonymous(t, room)
	ctx := Within(t)
	q := Closing(t, Must(ring.NewQueue[message](seg, "q", 1, nil))(t))
	for name, f := range map[string]func(){
		"PutFrom": func() { q.PutFrom(ctx, nil) },
		"GetInto": func() { q.GetInto(ctx, nil) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s of nil did not panic", name)
				}
			}()
			f()
		}()
	}
	in := message{1, 2}
	WantNil(t, "PutFrom", q.PutFrom(ctx, &in))
	var out message
	WantNil(t, "GetInto", q.GetInto(ctx, &out))
	if in != out {
		t.Errorf("got %v, want %v", out, in)
	}
	a, b := newPipe(t, seg, 0)
	if _, err := a.Reserve(ctx, -5); !errors.Is(err, ring.ErrTooLarge) {
		t.Errorf("Reserve of -5 bytes: %v, want ErrTooLarge", err)
	}
	WantNil(t, "Send", a.Send(ctx, []byte("x")))
	receive(t, b, []byte("x"))
}
