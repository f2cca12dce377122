package futex_test

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/futex"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
)

// eachWay runs a test with futex_waitv and without it.
func eachWay(t *testing.T, f func(t *testing.T)) {
	t.Run("waitv", func(t *testing.T) {
		if !futex.HasWaitv() {
			t.Skip("this kernel has no futex_waitv")
		}
		f(t)
	})
	t.Run("slices", func(t *testing.T) {
		t.Cleanup(futex.WithoutWaitv())
		f(t)
	})
}

func TestWrongValue(t *testing.T) {
	eachWay(t, func(t *testing.T) {
		var a, b atomic.Uint32
		b.Store(7)
		if err := futex.Wait(within(t), &b, 6); err != nil {
			t.Errorf("Wait: %v", err)
		}
		if err := futex.Wait(context.Background(), &b, 6); err != nil {
			t.Errorf("Wait without a Done channel: %v", err)
		}
		for _, tt := range []struct {
			name  string
			words []futex.Word
			want  int
		}{
			{"first", []futex.Word{{Addr: &a, Val: 1}, {Addr: &b, Val: 7}}, 0},
			{"last", []futex.Word{{Addr: &a, Val: 0}, {Addr: &b, Val: 8}}, 1},
			{"both", []futex.Word{{Addr: &a, Val: 1}, {Addr: &b, Val: 8}}, 0},
			{"only", []futex.Word{{Addr: &a, Val: 1}}, 0},
		} {
			t.Run(tt.name, func(t *testing.T) {
				if i, err := futex.WaitAny(within(t), tt.words...); i != tt.want || err != nil {
					t.Errorf("WaitAny = %d, %v, want %d", i, err, tt.want)
				}
			})
		}
	})
}

func TestWakeNobody(t *testing.T) {
	var a atomic.Uint32
	if n, err := futex.Wake(&a, futex.All); n != 0 || err != nil {
		t.Errorf("Wake = %d, %v", n, err)
	}
}

// waitUntil waits in a loop, as the package comment shows.
func waitUntil(ctx context.Context, w *atomic.Uint32, want uint32) error {
	for {
		v := w.Load()
		if v == want {
			return nil
		}
		if err := futex.Wait(ctx, w, v); err != nil {
			return err
		}
	}
}

func TestWakeGoroutines(t *testing.T) {
	eachWay(t, func(t *testing.T) {
		for _, tt := range []struct {
			name string
			ctx  context.Context
		}{{"with ctx", within(t)}, {"without", context.Background()}} {
			t.Run(tt.name, func(t *testing.T) {
				const n = 5
				w := new(atomic.Uint32)
				done := make(chan error, n)
				for range n {
					go func() { done <- waitUntil(tt.ctx, w, 1) }()
				}
				awaitSleeper(t, w, n)
				w.Store(1)
				if _, err := futex.Wake(w, futex.All); err != nil {
					t.Fatal(err)
				}
				for range n {
					if err := await(t, done, "waiter after Wake"); err != nil {
						t.Error(err)
					}
				}
			})
		}
	})
}

// Wake of one wakes one waiter.
func TestWakeOne(t *testing.T) {
	w := new(atomic.Uint32)
	const n = 3
	done := make(chan error, n)
	for range n {
		go func() { done <- futex.Wait(within(t), w, 0) }()
	}
	for range n {
		awaitSleeper(t, w, 1)
		if err := await(t, done, "the waiter that was woken"); err != nil {
			t.Error(err)
		}
	}
}

func TestWaitAnyIndex(t *testing.T) {
	eachWay(t, func(t *testing.T) {
		for _, n := range []int{1, 2, 3, 5, futex.MaxWords} {
			for _, at := range []int{0, n / 2, n - 1} {
				words := make([]futex.Word, n)
				for i := range words {
					words[i].Addr = new(atomic.Uint32)
				}
				type result struct {
					i   int
					err error
				}
				done := make(chan result, 1)
				go func() {
					for {
						i, err := futex.WaitAny(within(t), words...)
						if i >= 0 || err != nil {
							done <- result{i, err}
							return
						}
					}
				}()
				awaitSleeper(t, words[0].Addr, 1)
				words[at].Addr.Store(1)
				if _, err := futex.Wake(words[at].Addr, 1); err != nil {
					t.Fatal(err)
				}
				if r := await(t, done, "WaitAny"); r.i != at || r.err != nil {
					t.Errorf("word %d of %d changed: WaitAny = %d, %v", at, n, r.i, r.err)
				}
			}
		}
	})
}

func TestWaitAnyMisuse(t *testing.T) {
	for _, n := range []int{0, futex.MaxWords + 1} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("WaitAny of %d words did not panic", n)
				}
			}()
			words := make([]futex.Word, n)
			for i := range words {
				words[i] = futex.Word{Addr: new(atomic.Uint32), Val: 1}
			}
			futex.WaitAny(within(t), words...)
		}()
	}
}

func TestWaitAnyFor(t *testing.T) {
	eachWay(t, func(t *testing.T) {
		a, b := new(atomic.Uint32), new(atomic.Uint32)
		for _, ctx := range []context.Context{context.Background(), within(t)} {
			for _, words := range [][]futex.Word{{{Addr: a}}, {{Addr: a}, {Addr: b}}} {
				begin := time.Now()
				for time.Since(begin) < 20*time.Millisecond { // it may return early for no reason
					if i, err := futex.WaitAnyFor(ctx, 20*time.Millisecond, words...); i != -1 || err != nil {
						t.Fatalf("WaitAnyFor = %d, %v, want -1", i, err)
					}
				}
			}
		}
	})
}

// With a context that is done, a wait finds a change of the word and does not block.
func TestEndedContext(t *testing.T) {
	eachWay(t, func(t *testing.T) {
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		expired, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
		defer cancel()
		w := new(atomic.Uint32)
		for _, tt := range []struct {
			name string
			ctx  context.Context
			want error
		}{{"cancelled", cancelled, context.Canceled}, {"expired", expired, context.DeadlineExceeded}} {
			t.Run(tt.name, func(t *testing.T) {
				if err := futex.Wait(tt.ctx, w, 0); !errors.Is(err, tt.want) {
					t.Errorf("Wait: %v, want %v", err, tt.want)
				}
				if err := futex.Wait(tt.ctx, w, 1); err != nil {
					t.Errorf("Wait for a word that has changed: %v", err)
				}
				if i, err := futex.WaitAny(tt.ctx, futex.Word{Addr: w}, futex.Word{Addr: w, Val: 1}); i != 1 || err != nil {
					t.Errorf("WaitAny = %d, %v, want 1", i, err)
				}
			})
		}
	})
}

func TestDeadlineDuringWait(t *testing.T) {
	eachWay(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		w := new(atomic.Uint32)
		done := make(chan error, 1)
		go func() { done <- waitUntil(ctx, w, 1) }()
		if err := await(t, done, "Wait with a deadline"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait: %v, want DeadlineExceeded", err)
		}
	})
}

// Cancellation wakes only the waiter whose context is done.
func TestCancelOne(t *testing.T) {
	eachWay(t, func(t *testing.T) {
		w := new(atomic.Uint32)
		const n = 4
		var done [n]chan error
		var cancel [n]context.CancelFunc
		var returns atomic.Int32 // how often Wait has returned
		for i := range n {
			var ctx context.Context
			ctx, cancel[i] = context.WithCancel(within(t))
			done[i] = make(chan error, 1)
			go func() {
				for {
					err := futex.Wait(ctx, w, 0)
					returns.Add(1)
					if err != nil || w.Load() != 0 {
						done[i] <- err
						return
					}
				}
			}()
		}
		awaitSleeper(t, w, n)
		for deadline := time.Now().Add(patience); returns.Load() < n; {
			if time.Now().After(deadline) {
				t.Fatal("stuck: waiters that were woken")
			}
			time.Sleep(time.Millisecond)
		}
		before := returns.Load()
		cancel[1]()
		if err := await(t, done[1], "the cancelled waiter"); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		for i, c := range done {
			select {
			case err := <-c:
				t.Errorf("waiter %d returned %v though it was neither woken nor cancelled", i, err)
			default:
			}
		}
		if got := returns.Load() - before; got != 1 {
			t.Errorf("%d waits returned when one was cancelled", got)
		}
		w.Store(1)
		if _, err := futex.Wake(w, futex.All); err != nil {
			t.Fatal(err)
		}
		for _, i := range []int{0, 2, 3} {
			if err := await(t, done[i], "waiter after Wake"); err != nil {
				t.Errorf("waiter %d: %v", i, err)
			}
			cancel[i]()
		}
	})
}

// A wait returns after its Wake also if its thread gets no CPU for longer than it meant to sleep.
func TestLateThread(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	eachWay(t, func(t *testing.T) {
		var stop atomic.Bool
		var busy sync.WaitGroup
		defer busy.Wait()
		defer stop.Store(true)
		w := new(atomic.Uint32)
		done := make(chan error, 1)
		go func() { done <- futex.Wait(within(t), w, 0) }()
		// Each of the goroutines has the only P for 10 ms before the waiter's turn, which sleeps for 32 ms at most.
		for range 8 {
			busy.Go(func() {
				for !stop.Load() {
				}
			})
		}
		awaitSleeper(t, w, 1)
		if err := await(t, done, "the woken waiter"); err != nil {
			t.Fatal(err)
		}
	})
}

// A cancellation at the moment when a wait ends does not wake a later wait.
func TestLateCancel(t *testing.T) {
	w := new(atomic.Uint32)
	for range 2000 {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- waitUntil(ctx, w, 1) }()
		go cancel()
		stored := make(chan struct{})
		go func() {
			defer close(stored)
			w.Store(1)
			futex.Wake(w, futex.All)
		}()
		if err := await(t, done, "Wait with a change and a cancellation at once"); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		<-stored
		w.Store(0)
		// A late cancellation of the wait before would end this one.
		if i, err := futex.WaitAnyFor(within(t), time.Nanosecond, futex.Word{Addr: w, Val: 0}); i != -1 || err != nil {
			t.Fatalf("the next wait: %d, %v", i, err)
		}
	}
}

// turns plays ball with another player. The word counts the strokes; the player whose number is the
// word's parity makes the next one.
func turns(ctx context.Context, w *atomic.Uint32, mine uint32, n uint32) error {
	for {
		v := w.Load()
		if v >= n {
			return nil
		}
		if v%2 != mine {
			if err := futex.Wait(ctx, w, v); err != nil {
				return err
			}
			continue
		}
		w.Store(v + 1)
		if _, err := futex.Wake(w, 1); err != nil {
			return err
		}
	}
}

type rally struct {
	Words   *words
	Strokes uint32
	Signals bool
}

var play = proc.Register("play", func(ctx context.Context, r rally) (struct{}, error) {
	if r.Signals {
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGUSR1)
	}
	r.Words.at(1).Store(1) // ready
	if _, err := futex.Wake(r.Words.at(1), futex.All); err != nil {
		return struct{}{}, err
	}
	if err := turns(ctx, r.Words.at(0), 1, r.Strokes); err != nil || !r.Signals {
		return struct{}{}, err
	}
	return struct{}{}, waitUntil(ctx, r.Words.at(1), 2) // the parent sends no more signals
})

func startPlay(t *testing.T, r rally) *proc.Call[struct{}] {
	t.Helper()
	p, err := play.New(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(within(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		await(t, p.Done(), "end of a child")
	})
	if err := waitUntil(within(t), r.Words.at(1), 1); err != nil {
		t.Fatal("the child does not begin: ", err)
	}
	return p
}

func anonymous(t *testing.T) *shm.Segment {
	t.Helper()
	seg, err := shm.Anonymous(1<<12, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := seg.Close(); err != nil {
			t.Error(err)
		}
	})
	return seg
}

func TestProcesses(t *testing.T) {
	eachWay(t, func(t *testing.T) {
		const n = 2000
		w := newWords(t, anonymous(t), 2)
		p := startPlay(t, rally{Words: w, Strokes: n})
		if err := turns(within(t), w.at(0), 0, n); err != nil {
			t.Fatal(err)
		}
		if err := p.Join(within(t)); err != nil {
			t.Error(err)
		}
		if got := w.at(0).Load(); got != n {
			t.Errorf("%d strokes, want %d", got, n)
		}
	})
}

// A signal that interrupts the sleep does not end the wait.
func TestSignals(t *testing.T) {
	t.Run("another process", func(t *testing.T) {
		const n = 500
		w := newWords(t, anonymous(t), 2)
		p := startPlay(t, rally{Words: w, Strokes: n, Signals: true})
		stop := make(chan struct{})
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case <-time.After(50 * time.Microsecond):
				}
				syscall.Kill(p.PID(), []syscall.Signal{syscall.SIGUSR1, syscall.SIGURG}[i%2])
			}
		}()
		err := turns(within(t), w.at(0), 0, n)
		close(stop)
		<-stopped
		w.at(1).Store(2)
		futex.Wake(w.at(1), 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Join(within(t)); err != nil {
			t.Error(err)
		}
	})
	t.Run("this process", func(t *testing.T) {
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGUSR1)
		defer signal.Stop(c)
		for _, tt := range []struct {
			name string
			ctx  context.Context
		}{{"with ctx", within(t)}, {"without", context.Background()}} {
			w := new(atomic.Uint32)
			done := make(chan error, 1)
			go func() { done <- waitUntil(tt.ctx, w, 1) }()
			awaitSleeper(t, w, 1)
			for range 300 {
				if err := syscall.Kill(os.Getpid(), syscall.SIGUSR1); err != nil {
					t.Fatal(err)
				}
				await(t, c, "the signal")
			}
			select {
			case err := <-done:
				t.Fatalf("%s: the wait ended by a signal: %v", tt.name, err)
			default:
			}
			w.Store(1)
			futex.Wake(w, 1)
			if err := await(t, done, "waiter after signals"); err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
		}
	})
}

// Many waiters wait on two words each while both are changed often. No wakeup is lost.
func TestHammer(t *testing.T) {
	eachWay(t, func(t *testing.T) {
		const waiters, rounds = 8, 300
		var ticket [waiters]*atomic.Uint32
		common := new(atomic.Uint32)
		for i := range ticket {
			ticket[i] = new(atomic.Uint32)
		}
		done := make(chan error, waiters)
		for i := range waiters {
			go func() {
				for got := uint32(0); got < rounds; {
					c, v := common.Load(), ticket[i].Load()
					if v > got {
						got = v
						continue
					}
					if _, err := futex.WaitAny(within(t), futex.Word{Addr: common, Val: c}, futex.Word{Addr: ticket[i], Val: v}); err != nil {
						done <- err
						return
					}
				}
				done <- nil
			}()
		}
		for r := range rounds {
			for i := range waiters {
				ticket[(i+r)%waiters].Add(1)
				futex.Wake(ticket[(i+r)%waiters], 1)
			}
			if r%7 == 0 {
				common.Add(1)
				futex.Wake(common, futex.All)
			}
		}
		for range waiters {
			if err := await(t, done, "hammered waiter"); err != nil {
				t.Error(err)
			}
		}
	})
}
