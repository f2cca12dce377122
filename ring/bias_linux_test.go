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

// TestBiasReleasedByAnotherGoroutine shows that a revoker waits for the owner of the bias even if
// another goroutine released the lock. Goroutine 2 closes a Sender of goroutine 1 and is stopped
// between its store to inside and its load of bias. Meanwhile goroutine 1 acquires the lock by its
// bias, and another party revokes the bias.
func TestBiasReleasedByAnotherGoroutine(t *testing.T) {
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
	l := &x.k.out.tx
	// Goroutine 2 in x.Close: first half of releaseBiased.
	fence.Publish32(&l.w.inside, 0)
	// Goroutine 1 owns the side and writes a message in place.
	r, err := a.Reserve(ctx, 8)
	if err != nil || r.own != inline {
		t.Fatal(err, r.own)
	}
	// The other party sends.
	sent := make(chan error, 1)
	go func() { sent <- a2.Send(ctx, []byte("OTHER PARTY")) }()
	select {
	case err := <-sent:
		t.Fatalf("the other party did not wait: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	// Goroutine 2: second half of releaseBiased.
	if l.w.bias.Load() != l.mine {
		l.wakeRevoker()
	}
	select {
	case err := <-sent:
		t.Errorf("the other party sent while goroutine 1 holds a message in place: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	copy(r.Bytes(), "12345678")
	committed := r.Commit()
	if err := <-sent; err != nil || committed != nil {
		t.Fatal(committed, err)
	}
	for _, want := range []string{"12345678", "OTHER PARTY"} {
		if m, err := b.TryReceive(); string(m) != want {
			t.Errorf("received %q, %v, want %q", m, err, want)
		}
	}
}
