package proc_test

import (
	"bytes"
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
)

var poolEcho = proc.Register("poolEcho", func(_ context.Context, b []byte) ([]byte, error) { return b, nil })

// TestPoolLongArguments has many long calls of different lengths under way: none sees the memory of another, also when
// workers are replaced.
func TestPoolLongArguments(t *testing.T) {
	p := newPool(t, 2, &proc.PoolOptions{MaxTasks: 50})
	ctx := soon(t, time.Minute)
	argument := func(i int) []byte { return bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 8000+i*977%60000) }
	const calls, window = 600, 32
	var under []*proc.Future[[]byte]
	for i := range calls + window {
		if i < calls {
			in := argument(i)
			f, err := poolEcho.Submit(ctx, p, in)
			if err != nil {
				t.Fatal(err)
			}
			clear(in) // the call has a copy
			under = append(under, f)
		}
		if i >= window {
			got, err := under[i-window].Wait(ctx)
			if err != nil || !bytes.Equal(got, argument(i-window)) {
				t.Fatalf("call %d: %d bytes, %v, which are not those of its argument", i-window, len(got), err)
			}
		}
	}
}

// TestPoolLongArgumentMemory counts what the pool's process allocates: a long call needs new memory for its result only.
func TestPoolLongArgumentMemory(t *testing.T) {
	if testkit.Race {
		t.Skip("sync.Pool drops some of its items then")
	}
	p := newPool(t, 1, nil)
	ctx := soon(t, time.Minute)
	in := make([]byte, 1<<16)
	call := func() {
		if _, err := poolEcho.Apply(ctx, p, in); err != nil {
			t.Fatal(err)
		}
	}
	for range 10 {
		call()
	}
	const calls = 200
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range calls {
		call()
	}
	runtime.ReadMemStats(&after)
	each := float64(after.TotalAlloc-before.TotalAlloc) / calls / float64(len(in))
	t.Logf("a call allocates %.2f times as much as its argument has", each)
	if each >= 1.7 {
		t.Errorf("a call allocates %.2f times as much as its argument has, want less than 1.70", each)
	}
}
