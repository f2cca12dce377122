//go:build linux && amd64 && !race

package ring

import (
	"context"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/fence"
	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A Sender made by goroutine 1 is closed by goroutine 2, which is stopped
// between its store to inside and its look at bias. Meanwhile goroutine 1 comes
// back the short way and is inside, and another party revokes the seat.
func TestSeatLeftByAnotherGoroutine(t *testing.T) {
	seg, err := shm.Heap(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	defer seg.Close()
	other, err := object.Attach(seg)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	a, b, err := NewPipe(seg, "p", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	defer b.Close()
	a2, err := OpenPipe(other, "p", A)
	if err != nil {
		t.Fatal(err)
	}
	defer a2.Close()
	for !fence.Ready() {
		time.Sleep(time.Millisecond)
	}
	ctx := context.Background()
	x, err := a.Sender(ctx) // goroutine 1 is this one
	if err != nil {
		t.Fatal(err)
	}
	s := &x.k.out.tx
	// Goroutine 2 in x.Close, first half of leave.
	fence.Publish32(&s.w.inside, 0)
	// Goroutine 1 is inside, writing a message in place.
	r, err := a.Reserve(ctx, 8)
	if err != nil || r.how != brief {
		t.Fatal(err, r.how)
	}
	// The other party sends.
	sent := make(chan error, 1)
	go func() { sent <- a2.Send(ctx, []byte("OTHER PARTY")) }()
	select {
	case err := <-sent:
		t.Fatalf("the other did not wait: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	// Goroutine 2, second half of leave.
	if s.w.bias.Load() != s.mine {
		s.vacated()
	}
	select {
	case err := <-sent:
		t.Errorf("the other sent while goroutine 1 holds a message in place: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	copy(r.Bytes(), "12345678")
	wantCommit := r.Commit()
	if err := <-sent; err != nil || wantCommit != nil {
		t.Fatal(wantCommit, err)
	}
	for _, want := range []string{"12345678", "OTHER PARTY"} {
		if m, err := b.TryReceive(); string(m) != want {
			t.Errorf("received %q, %v, want %q", m, err, want)
		}
	}
}
