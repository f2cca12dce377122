package proc_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/proc"
)

// TestPoolChunkLosesOne kills workers in the middle of chunks. The answers before that call had not
// woken the pool yet, and arrive nevertheless.
func TestPoolChunkLosesOne(t *testing.T) {
	p := newPool(t, 2, nil)
	ctx := soon(t, time.Minute)
	in := func(yield func(poolTest) bool) {
		for i := range 200 {
			c := poolTest{N: i}
			switch i % 50 {
			case 20:
				c.Act = "kill"
			case 40:
				c.Act = "panic"
			}
			if !yield(c) {
				return
			}
		}
	}
	i := 0
	for n, err := range poolDo.Map(ctx, p, in, &proc.MapOptions{KeepGoing: true, Chunk: 50}) {
		var lost *proc.WorkerLostError
		var panicked *proc.PanicError
		switch i % 50 {
		case 20:
			if !errors.As(err, &lost) || lost.ExitCode != -9 {
				t.Errorf("call %d, which kills its worker: %d, %v", i, n, err)
			}
		case 40:
			if !errors.As(err, &panicked) {
				t.Errorf("call %d, which panics: %d, %v", i, n, err)
			}
		default:
			if n != i || err != nil {
				t.Errorf("call %d: %d, %v", i, n, err)
			}
		}
		i++
	}
	if s := p.Stats(); i != 200 || s.Failed != 4 || s.Lost["signal 9 (killed)"] != 4 {
		t.Errorf("%d results, %+v", i, s)
	}
}

// TestPoolTellsBeforeLongCall shows that the result of a short call arrives while a long one runs that came to
// the worker in the same message.
func TestPoolTellsBeforeLongCall(t *testing.T) {
	p := newPool(t, 1, nil)
	ctx := soon(t, time.Minute)
	least := time.Minute
	for range 5 {
		for _, err := range poolSquare.Map(ctx, p, seq(200), &proc.MapOptions{Chunk: 1}) { // so that the worker may have several
			if err != nil {
				t.Fatal(err)
			}
		}
		submit := func(ctx context.Context, c poolTest) *proc.Future[int] {
			t.Helper()
			f, err := poolDo.Submit(ctx, p, c)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
		running, end := context.WithCancel(ctx)
		first := submit(running, poolTest{Sleep: time.Millisecond}) // meanwhile the others get into one message
		short := submit(ctx, poolTest{N: 7})
		long := submit(running, poolTest{Act: "wait"})
		if _, err := first.Wait(ctx); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		n, err := short.Wait(ctx)
		least = min(least, time.Since(begin))
		if n != 7 || err != nil || long.Ready() {
			t.Errorf("short call: %d, %v; the long one has ended: %v", n, err, long.Ready())
		}
		end()
		if _, err := long.Wait(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("long call: %v", err)
		}
	}
	if least > 500*time.Millisecond { // a pool that is not woken looks again after a second
		t.Errorf("the result of the short call took %v at least", least)
	}
}
