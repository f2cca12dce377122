package wait

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/futex"
	"github.com/seed-2e7ecdea/mp/internal/leak"
)

// patience bounds every wait of the tests.
const patience = 30 * time.Second

func TestMain(m *testing.M) { os.Exit(leak.Check(m)) }

// newRoom returns the room of a segment with that epoch, as in a process of its own that has at
// most maxDirect direct sleepers. Its hubs must end with the test.
func newRoom(t testing.TB, epoch *atomic.Uint32, maxDirect int32) *Room {
	l := newParkingLot(maxDirect)
	r := &Room{Epoch: epoch, Watch: func(uint32) {}, lot: l}
	r.SetPolicy(Block)
	t.Cleanup(func() {
		eventually(t, "end of the hubs", func() bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			return len(l.hubs) == 0 && len(l.queues) == 0 && l.inUse.Load() == 0 && l.direct.Load() == 0
		})
	})
	return r
}

// wakeAll does what the announcement of a death does.
func wakeAll(epoch *atomic.Uint32) {
	epoch.Add(1)
	futex.Wake(epoch, futex.All)
}

// eventually polls until ok returns true.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(deadline) {
			stuck(t, what)
		}
	}
}

func stuck(t testing.TB, what string) {
	t.Helper()
	buf := make([]byte, 1<<20)
	t.Fatalf("stuck: %s\n%s", what, buf[:runtime.Stack(buf, true)])
}

func await[T any](t testing.TB, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		stuck(t, what)
	}
	return v
}

// A basket holds tokens. Takers wait at its gate.
type basket struct {
	gate   Gate
	tokens atomic.Int32
	closed atomic.Bool
	tries  atomic.Int32
}

func (b *basket) put(n int32) {
	b.tokens.Add(n)
	b.gate.Notify()
}

// shut fails all takers with errShut.
func (b *basket) shut() {
	b.closed.Store(true)
	b.gate.NotifyAll()
}

var errShut = errors.New("basket is shut")

type taker struct{ b *basket }

func (k taker) Try() (bool, error) {
	k.b.tries.Add(1)
	if k.b.closed.Load() {
		return false, errShut
	}
	for {
		n := k.b.tokens.Load()
		if n == 0 || k.b.tokens.CompareAndSwap(n, n-1) {
			return n != 0, nil
		}
	}
}

func (k taker) Arm() (Armed, bool) { return k.b.gate.Arm(), true }

func (k taker) Pass(woken, done bool) {
	if woken && (!done || k.b.tokens.Load() > 0) {
		k.b.gate.Pass()
	}
}

// An alikeTaker is interchangeable with the others of its basket.
type alikeTaker struct{ taker }

func (a alikeTaker) Alike() any { return a.b }

// kinds are the kinds of takers: interchangeable ones, and others.
var kinds = []struct {
	name  string
	taker func(*basket) Waiter
}{
	{"alike", func(b *basket) Waiter { return alikeTaker{taker{b}} }},
	{"each", func(b *basket) Waiter { return taker{b} }},
}

func (r *Room) take(ctx context.Context, w Waiter) error { return r.Await(ctx, new(Spinner), w) }

// waiting returns how many goroutines are queued in hubs, and how many are direct sleepers.
func (l *parkingLot) waiting() (inHubs, direct int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, q := range l.queues {
		inHubs += q.queued.Len()
	}
	return inHubs, int(l.direct.Load())
}

// asleep waits until n goroutines are queued in hubs and all hubs sleep.
func (l *parkingLot) asleep(t testing.TB, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d waiters in hubs", n), func() bool {
		if got, _ := l.waiting(); got != n {
			return false
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, h := range l.hubs {
			if !h.asleep || h.interrupted {
				return false
			}
		}
		return true
	})
}

// Up to the limit, goroutines are direct sleepers and there is no hub.
func TestDirectSleepers(t *testing.T) {
	const maxDirect = 5
	r, b := newRoom(t, new(atomic.Uint32), maxDirect), new(basket)
	done := make(chan error, maxDirect+1)
	take := func() { done <- r.take(context.Background(), alikeTaker{taker{b}}) }
	for range maxDirect {
		go take()
	}
	eventually(t, "direct sleepers", func() bool { return r.lot.direct.Load() == maxDirect })
	if in, _ := r.lot.waiting(); in != 0 || len(r.lot.hubs) != 0 {
		t.Errorf("%d of %d wait in %d hubs", in, maxDirect, len(r.lot.hubs))
	}
	go take()
	r.lot.asleep(t, 1)
	for range maxDirect + 1 {
		b.put(1)
	}
	for range maxDirect + 1 {
		if err := await(t, done, "taker"); err != nil {
			t.Error(err)
		}
	}
}

// With more words than hubs prefer, and with more than preferredHubs hubs can have, each wake
// reaches the waiter at its word.
func TestManyWords(t *testing.T) {
	for _, tt := range []struct{ words, hubs int }{
		{preferredWords - 2, 1},
		{preferredWords - 1, 2},
		{preferredHubs * (futex.MaxWords - 2), preferredHubs},
		{preferredHubs*(futex.MaxWords-2) + 1, preferredHubs + 1},
	} {
		t.Run(fmt.Sprint(tt.words), func(t *testing.T) { tryWords(t, tt.words, tt.hubs) })
	}
}

func tryWords(t *testing.T, n, wantHubs int) {
	begin := time.Now()
	r := newRoom(t, new(atomic.Uint32), 0)
	baskets, done := make([]basket, n), make([]chan error, n)
	for i := range n {
		done[i] = make(chan error, 1)
		go func() { done[i] <- r.take(context.Background(), taker{&baskets[i]}) }()
	}
	r.lot.asleep(t, n)
	r.lot.mu.Lock()
	hubs := len(r.lot.hubs)
	r.lot.mu.Unlock()
	if hubs != wantHubs {
		t.Errorf("%d words are in %d hubs, not %d", n, hubs, wantHubs)
	}
	before := 0
	for i := range baskets {
		before += int(baskets[i].tries.Load())
	}
	for i := range baskets {
		baskets[i].put(1)
		if err := await(t, done[i], "taker"); err != nil {
			t.Error(err)
		}
	}
	after := 0
	for i := range baskets {
		after += int(baskets[i].tries.Load())
	}
	if after-before != n && time.Since(begin) < lastSlice { // later each hub has all try once a second
		t.Errorf("%d tries after %d wakes", after-before, n)
	}
}

// Of many interchangeable waiters at one word, one tries after each wake.
func TestOneWord(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			const n = 100
			r, b := newRoom(t, new(atomic.Uint32), 0), new(basket)
			done := make(chan error, n)
			for range n {
				go func() { done <- r.take(context.Background(), kind.taker(b)) }()
			}
			r.lot.asleep(t, n)
			before := b.tries.Load()
			for i := range n {
				b.put(1)
				if err := await(t, done, "one taker"); err != nil {
					t.Error(err)
				}
				r.lot.asleep(t, n-1-i)
			}
			tries := b.tries.Load() - before
			t.Logf("%d tries for %d tokens", tries, n)
			if kind.name == "alike" && tries != n {
				t.Errorf("%d tries for %d tokens", tries, n)
			}
		})
	}
}

// No wake is lost that comes while the hub is awake.
func TestManyTokensAtOnce(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			const n = 50
			r, b := newRoom(t, new(atomic.Uint32), 0), new(basket)
			done := make(chan error, n)
			for range n {
				go func() { done <- r.take(context.Background(), kind.taker(b)) }()
			}
			r.lot.asleep(t, n)
			b.put(n / 2)
			for range n / 2 {
				if err := await(t, done, "taker of one of many"); err != nil {
					t.Error(err)
				}
			}
			r.lot.asleep(t, n/2)
			b.shut()
			for range n / 2 {
				if err := await(t, done, "taker at a basket that is shut"); !errors.Is(err, errShut) {
					t.Error(err)
				}
			}
		})
	}
}

// A move of the epoch and Close reach all waiters.
func TestEpochReachesAll(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			const n = 200
			epoch := new(atomic.Uint32)
			r := newRoom(t, epoch, 0)
			var baskets [10]basket
			done := make(chan error, n)
			for i := range n {
				go func() { done <- r.take(context.Background(), kind.taker(&baskets[i%len(baskets)])) }()
			}
			r.lot.asleep(t, n)
			var before [len(baskets)]int32
			for i := range baskets {
				before[i] = baskets[i].tries.Load()
			}
			wakeAll(epoch)
			eventually(t, "a try of each", func() bool {
				for i := range baskets {
					if baskets[i].tries.Load() < before[i]+n/int32(len(baskets)) {
						return false
					}
				}
				return true
			})
			r.lot.asleep(t, n)
			r.Close()
			wakeAll(epoch)
			for range n {
				if err := await(t, done, "taker in a room that is closed"); !errors.Is(err, os.ErrClosed) {
					t.Error(err)
				}
			}
		})
	}
}

// A generations waits until the number now differs from after. Only the epoch moves with it, not
// the gate.
type generations struct {
	gate  *Gate
	now   *atomic.Uint32
	after uint32
}

func (g *generations) Try() (bool, error)    { return g.now.Load() != g.after, nil }
func (g *generations) Arm() (Armed, bool)    { return g.gate.Arm(), true }
func (g *generations) Pass(woken, done bool) {}

// No move of the epoch is missed while hubs come and go.
func TestEpochIsNeverMissed(t *testing.T) {
	const n, rounds = 30, 300
	epoch, now := new(atomic.Uint32), new(atomic.Uint32)
	r := newRoom(t, epoch, 0)
	ctx, cancel := context.WithCancel(t.Context())
	var gates [3]Gate
	reached, ended := make(chan struct{}, n), make(chan struct{}, n+1)
	for i := range n {
		go func() {
			defer func() { ended <- struct{}{} }()
			for g := (&generations{gate: &gates[i%len(gates)], now: now}); ; g.after++ {
				if r.take(ctx, g) != nil {
					return
				}
				reached <- struct{}{}
			}
		}()
	}
	go func() { // keeps the hub from resting
		defer func() { ended <- struct{}{} }()
		for ctx.Err() == nil {
			soon, cancel := context.WithTimeout(ctx, time.Duration(rand.IntN(20))*time.Microsecond)
			r.take(soon, taker{new(basket)})
			cancel()
		}
	}()
	for range rounds {
		now.Add(1)
		wakeAll(epoch)
		for range n {
			await(t, reached, "waiter for the epoch")
		}
	}
	cancel()
	for range n + 1 {
		await(t, ended, "end")
	}
}

// A waiter is not queued in a hub if one of its words has moved before.
func TestMovedBeforeHub(t *testing.T) {
	epoch := new(atomic.Uint32)
	r, b := newRoom(t, epoch, 0), new(basket)
	w := taker{b}
	word, _ := w.Arm()
	at := futex.Word{Addr: epoch, Val: epoch.Load()}
	b.put(1)
	if r.lot.enqueue(new(sleeper), w, word.Word, at) {
		t.Error("a waiter is in the hub whose gate has moved")
	}
	word, _ = w.Arm()
	epoch.Add(1)
	if r.lot.enqueue(new(sleeper), w, word.Word, at) {
		t.Error("a waiter is in the hub whose epoch has moved")
	}
}

// A hub sleeps on the values that its waiters have seen, not on the values of the moment at which
// it goes to sleep.
func TestHubSleepsOnWhatWaitersSaw(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			l, epoch, b := newParkingLot(0), new(atomic.Uint32), new(basket)
			h := newHub(l) // it does not run
			l.hubs = append(l.hubs, h)
			w := kind.taker(b)
			word, _ := w.Arm()
			at := futex.Word{Addr: epoch, Val: epoch.Load()}
			if !l.enqueue(new(sleeper), w, word.Word, at) {
				t.Fatal("the waiter is not in the hub")
			}
			b.put(1)
			wakeAll(epoch)
			h.beforeSleep()
			if len(h.words) != 3 || h.words[1] != at || h.words[2] != word.Word {
				t.Errorf("the hub sleeps on %v, want its own, %v and %v", h.words, at, word)
			}
		})
	}
}

// A context ends one wait. No other waiter tries because of it, and it costs no wake.
func TestLeaveHub(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			const n = 50
			r, b := newRoom(t, new(atomic.Uint32), 0), new(basket)
			var cancels [n]context.CancelFunc
			var done [n]chan error
			for i := range n {
				var ctx context.Context
				ctx, cancels[i] = context.WithCancel(t.Context())
				done[i] = make(chan error, 1)
				go func() { done[i] <- r.take(ctx, kind.taker(b)) }()
			}
			r.lot.asleep(t, n)
			before := b.tries.Load()
			for i := range n - 1 {
				cancels[i]()
				if err := await(t, done[i], "cancelled taker"); !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			}
			if tries := b.tries.Load() - before; tries != n-1 {
				t.Errorf("%d tries when %d were cancelled", tries, n-1)
			}
			b.put(1)
			if err := await(t, done[n-1], "the last taker"); err != nil {
				t.Error(err)
			}
			cancels[n-1]()
		})
	}
}

// A hub whose last waiter at a word has left sends a wake of the word on to a sleeper of another
// process.
func TestWakeIsSentOn(t *testing.T) {
	epoch := new(atomic.Uint32)
	r, other := newRoom(t, epoch, 0), newRoom(t, epoch, 1)
	b := new(basket)
	asleep, wake := make(chan struct{}), make(chan struct{})
	r.lot.waitAny = func(context.Context, time.Duration, ...futex.Word) (int, error) {
		asleep <- struct{}{}
		<-wake
		return -1, nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	left, took := make(chan error, 1), make(chan error, 1)
	go func() { took <- other.take(context.Background(), taker{b}) }()
	eventually(t, "the other's sleeper", func() bool { return other.lot.direct.Load() == 1 })
	go func() { left <- r.take(ctx, taker{b}) }()
	// A hub that has started to sleep before it got the word sleeps again.
	for in := 0; in == 0; {
		await(t, asleep, "the hub's sleep")
		r.lot.mu.Lock()
		for _, h := range r.lot.hubs {
			in = len(h.listed)
		}
		r.lot.mu.Unlock()
		if in == 0 {
			wake <- struct{}{}
		}
	}
	cancel()
	if err := await(t, left, "the hub's waiter"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	// The basket's wake, as if the kernel had given it to the hub's thread.
	b.tokens.Add(1)
	b.gate.word.Add(2 - sleepers)
	select {
	case <-took:
		t.Fatal("a sleeper is awake before the hub has sent the wake on")
	case <-time.After(time.Millisecond):
	}
	wake <- struct{}{}
	if err := await(t, took, "the other's sleeper after the wake"); err != nil {
		t.Error(err)
	}
}

// A word that the kernel refuses fails only its own waiters.
func TestBadWord(t *testing.T) {
	r := newRoom(t, new(atomic.Uint32), 0)
	var good, bad basket
	r.lot.waitAny = func(ctx context.Context, d time.Duration, words ...futex.Word) (int, error) {
		for _, w := range words {
			if w.Addr == &bad.gate.word {
				return -1, os.NewSyscallError("futex_waitv", syscall.EFAULT)
			}
		}
		return futex.WaitAnyFor(ctx, d, words...)
	}
	const n = 10
	failed, took := make(chan error, n), make(chan error, n)
	for range n {
		go func() { took <- r.take(context.Background(), taker{&good}) }()
		go func() { failed <- r.take(context.Background(), taker{&bad}) }()
	}
	for range n {
		if err := await(t, failed, "waiter at a bad word"); !errors.Is(err, syscall.EFAULT) {
			t.Error(err)
		}
	}
	r.lot.asleep(t, n)
	for range n {
		good.put(1)
	}
	for range n {
		if err := await(t, took, "waiter at a good word"); err != nil {
			t.Error(err)
		}
	}
}

// If no word is to blame for an error of the hub's sleep, all its waiters fail.
func TestHubFails(t *testing.T) {
	r := newRoom(t, new(atomic.Uint32), 0)
	r.lot.waitAny = func(ctx context.Context, d time.Duration, words ...futex.Word) (int, error) {
		if d == time.Nanosecond { // which word is to blame?
			return -1, nil
		}
		return -1, os.NewSyscallError("futex_waitv", syscall.ENOMEM)
	}
	if err := r.take(context.Background(), taker{new(basket)}); !errors.Is(err, syscall.ENOMEM) {
		t.Error(err)
	}
}

// In several processes many goroutines move tokens between many baskets. In the first half some of
// their waits time out again and again, and the epoch moves. In the second half nothing but the
// tokens' own wakes keeps the tokens moving: if they stop, a wake was lost.
func TestTokensNeverStop(t *testing.T) {
	hops := 20_000
	if testing.Short() {
		hops = 4_000
	}
	for _, kind := range kinds {
		for _, maxDirect := range [][]int32{{0}, {0, 0}, {0, 3, 1000}, {6, 6}} {
			t.Run(fmt.Sprintf("%s/maxDirect=%v", kind.name, maxDirect), func(t *testing.T) {
				hammerTokens(t, kind.taker, maxDirect, hops)
			})
		}
	}
}

func hammerTokens(t *testing.T, kind func(*basket) Waiter, maxDirect []int32, want int) {
	const baskets, perRoom, tokens = 12, 60, 5
	epoch := new(atomic.Uint32)
	var all [baskets]basket
	var hops atomic.Int64
	done := make(chan error, len(maxDirect)*perRoom)
	impatient := int64(want / 2) // until then some waits time out
	for _, n := range maxDirect {
		r := newRoom(t, epoch, n)
		for i := range perRoom {
			go func() {
				b := &all[i%baskets]
				for {
					ctx, cancel := context.Background(), context.CancelFunc(func() {})
					if i%3 == 0 && hops.Load() < impatient {
						ctx, cancel = context.WithTimeout(ctx, time.Duration(rand.IntN(300))*time.Microsecond)
					}
					err := r.take(ctx, kind(b))
					cancel()
					switch {
					case errors.Is(err, context.DeadlineExceeded):
					case errors.Is(err, errShut):
						done <- nil
						return
					case err != nil:
						done <- err
						return
					default:
						hops.Add(1)
						all[rand.IntN(baskets)].put(1)
					}
				}
			}()
		}
	}
	all[0].put(tokens)
	last, since := int64(0), time.Now()
	for hops.Load() < int64(want) {
		time.Sleep(time.Millisecond)
		now := hops.Load()
		if now < impatient && rand.IntN(20) == 0 {
			wakeAll(epoch) // in the second half this would hide a lost wake
		}
		if now != last {
			last, since = now, time.Now()
		} else if time.Since(since) > patience {
			stuck(t, fmt.Sprintf("the tokens stopped after %d hops", now))
		}
	}
	for i := range all {
		all[i].shut()
	}
	for range cap(done) {
		if err := await(t, done, "taker"); err != nil {
			t.Error(err)
		}
	}
	left := 0
	for i := range all {
		left += int(all[i].tokens.Load())
	}
	if left != tokens {
		t.Errorf("%d of %d tokens are left", left, tokens)
	}
}
