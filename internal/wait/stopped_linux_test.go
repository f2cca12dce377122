package wait

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/futex"
	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// holdUp is the longest delay by one lost wake, on a busy machine.
const holdUp = 5 * lastSlice

// soon receives from c. It fails the test if that takes longer than holdUp.
func soon[T any](t *testing.T, c <-chan T, what string) (v T) {
	t.Helper()
	begin := time.Now()
	v = await(t, c, what)
	if took := time.Since(begin); took > holdUp {
		t.Errorf("%s took %v", what, took)
	}
	return v
}

// stopping makes the room's sleeps end only when cont is closed, as in a process that is stopped
// while it sleeps. The kernel still counts its sleeper as woken.
func stopping(r *Room) (cont chan struct{}) {
	cont = make(chan struct{})
	r.lot.waitAny = func(ctx context.Context, d time.Duration, words ...futex.Word) (int, error) {
		i, err := futex.WaitAnyFor(ctx, time.Hour, words...)
		<-cont
		return i, err
	}
	return cont
}

// A wake that a stopped process has consumed delays the others by one slice, whether they are
// direct sleepers or in a hub.
func TestConsumedWake(t *testing.T) {
	for _, kind := range kinds {
		for _, maxDirect := range []int32{0, 1} {
			t.Run(fmt.Sprintf("%s/maxDirect=%d", kind.name, maxDirect), func(t *testing.T) {
				epoch, b := new(atomic.Uint32), new(basket)
				stopped, other := newRoom(t, epoch, 1), newRoom(t, epoch, maxDirect)
				cont := stopping(stopped)
				first, second := make(chan error, 1), make(chan error, 1)
				go func() { first <- stopped.take(context.Background(), kind.taker(b)) }()
				inKernel(t, 1)
				go func() { second <- other.take(context.Background(), kind.taker(b)) }()
				inKernel(t, 2) // a sleeper, or its hub
				b.put(1)
				if err := soon(t, second, "the token for which a stopped process was woken"); err != nil {
					t.Error(err)
				}
				close(cont)
				b.put(1)
				if err := await(t, first, "the taker of the continued process"); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// inKernel waits until n threads of this process sleep in futex_waitv.
func inKernel(t *testing.T, n int) {
	t.Helper()
	if !sys.HasFutexWaitv() {
		t.Skip("sleepers can't be recognized without futex_waitv")
	}
	eventually(t, fmt.Sprintf("%d threads asleep", n), func() bool {
		asleep := 0
		calls, _ := filepath.Glob("/proc/self/task/*/syscall")
		for _, name := range calls {
			if text, _ := os.ReadFile(name); strings.HasPrefix(string(text), "449 ") {
				asleep++
			}
		}
		return asleep == n
	})
}

// A publisher that is stopped before it loads S delays the others by one slice, too.
func TestSilentPublisher(t *testing.T) {
	for _, kind := range kinds {
		for _, maxDirect := range []int32{0, 1} {
			t.Run(fmt.Sprintf("%s/maxDirect=%d", kind.name, maxDirect), func(t *testing.T) {
				r, b := newRoom(t, new(atomic.Uint32), maxDirect), new(basket)
				done := make(chan error, 3)
				for range cap(done) {
					go func() { done <- r.take(context.Background(), kind.taker(b)) }()
				}
				r.lot.asleep(t, cap(done)-int(maxDirect))
				b.tokens.Add(3)
				for range cap(done) {
					if err := soon(t, done, "a token without a wake"); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
}

// A waiter with AtMost tries again after that time, also in a hub.
func TestAtMost(t *testing.T) {
	for _, maxDirect := range []int32{0, 1} {
		t.Run(fmt.Sprintf("maxDirect=%d", maxDirect), func(t *testing.T) {
			r, b := newRoom(t, new(atomic.Uint32), maxDirect), new(basket)
			done := make(chan error, 1)
			go func() { done <- r.take(context.Background(), hasty{alikeTaker{taker{b}}}) }()
			eventually(t, "many tries", func() bool { return b.tries.Load() > 20 })
			b.put(1)
			if err := await(t, done, "hasty taker"); err != nil {
				t.Error(err)
			}
		})
	}
}

type hasty struct{ alikeTaker }

func (h hasty) Arm() (Armed, bool) {
	word, ok := h.alikeTaker.Arm()
	word.AtMost = time.Millisecond
	return word, ok
}
