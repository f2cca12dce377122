//go:build linux

package ring_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

// TestReceiverPastFiller shows that a Receiver that found nothing after the filler at the end of
// the ring does not look at the filler again. In the next lap there may be a message at its offset.
func TestReceiverPastFiller(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		a, b, err := ring.NewPipe(seg, "", &ring.PipeOptions{Capacity: 4096})
		if err != nil {
			t.Fatal(err)
		}
		Closing(t, a)
		Closing(t, b)
		ctx := context.Background()
		rx, err := b.Receiver(Within(t))
		if err != nil {
			t.Fatal(err)
		}
		defer rx.Close()
		get := func() string {
			m, err := rx.Receive(Within(t))
			if err != nil {
				t.Fatal(err)
			}
			return string(m)
		}
		// 56 records of 72 bytes leave 64 bytes at the end.
		for i := range 56 {
			WantNil(t, "send", a.Send(ctx, []byte(fmt.Sprintf("%064d", i))))
			get()
		}
		WantNil(t, "release", rx.Release())
		r, err := a.Reserve(ctx, 100) // puts a filler at the end
		if err != nil {
			t.Fatal(err)
		}
		r.Abort()
		if _, err := rx.Receive(Expired); !errors.Is(err, context.Canceled) {
			t.Fatalf("empty: %v", err)
		}
		// One lap: 56 records of 72 bytes, and one that fits into the rest.
		for i := range 56 {
			WantNil(t, "send", a.Send(ctx, []byte(fmt.Sprintf("%064d", 1000+i))))
		}
		WantNil(t, "send", a.Send(ctx, []byte("last")))
		for i := range 56 {
			if got, want := get(), fmt.Sprintf("%064d", 1000+i); got != want {
				t.Fatalf("message %d is %q", i, got)
			}
		}
		if got := get(); got != "last" {
			t.Fatalf("the last message is %q", got)
		}
	})
}
