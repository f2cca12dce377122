package wait

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/futex"
)

// caseOf returns a case that takes a token of b.
func caseOf(r *Room, w Waiter) *Case {
	return &Case{Room: r, Waiter: w, Result: func(err error) error { return err }}
}

// selectOne is TryAny and AwaitAny, as package poll calls them.
func selectOne(ctx context.Context, cases []*Case) (int, error) {
	if i, err := TryAny(cases); i >= 0 {
		return i, err
	}
	return AwaitAny(ctx, cases)
}

// untimed makes the room's sleeps end only by a wake, a moved word or the context, so that a lost
// wakeup is a hang.
func untimed(r *Room) {
	r.lot.waitAny = func(ctx context.Context, _ time.Duration, words ...futex.Word) (int, error) {
		return futex.WaitAnyFor(ctx, time.Hour, words...)
	}
}

type selected struct {
	i   int
	err error
}

// Each wake reaches a selection, whichever of its words it comes from and however many these are.
func TestSelectionOfMany(t *testing.T) {
	for _, tt := range []struct {
		cases, rooms int
		maxDirect    int32
	}{
		{1, 1, 1}, {3, 2, 1}, {125, 2, 1}, {124, 3, 1}, // 127 words
		{125, 3, 1}, {300, 3, 1}, // too many for one sleep
		{1, 1, 0}, {20, 2, 0}, {300, 3, 0},
	} {
		t.Run(fmt.Sprintf("cases=%d/rooms=%d/maxDirect=%d", tt.cases, tt.rooms, tt.maxDirect), func(t *testing.T) {
			rooms := make([]*Room, tt.rooms)
			rooms[0] = newRoom(t, new(atomic.Uint32), tt.maxDirect)
			untimed(rooms[0])
			for i := range rooms[1:] {
				rooms[i+1] = newRoom(t, new(atomic.Uint32), tt.maxDirect)
				rooms[i+1].lot = rooms[0].lot
			}
			baskets, cases := make([]basket, tt.cases), make([]*Case, tt.cases)
			for i := range cases {
				cases[i] = caseOf(rooms[i%tt.rooms], kinds[i%2].taker(&baskets[i]))
			}
			done := make(chan selected, 1)
			for _, i := range []int{0, tt.cases / 2, tt.cases - 1} {
				go func() {
					i, err := selectOne(context.Background(), cases)
					done <- selected{i, err}
				}()
				awaitSelection(t, rooms[0].lot, tt.cases, tt.cases+tt.rooms <= futex.MaxWords && tt.maxDirect > 0)
				baskets[i].put(1)
				if got := await(t, done, "selection"); got != (selected{i, nil}) {
					t.Errorf("case %d has a token: got %v", i, got)
				}
			}
			for _, r := range rooms {
				if r.Waiting() {
					t.Error("a room believes that somebody waits")
				}
			}
		})
	}
}

// awaitSelection waits until a selection of n cases sleeps.
func awaitSelection(t *testing.T, l *parkingLot, n int, direct bool) {
	t.Helper()
	if direct {
		inKernel(t, 1)
	} else {
		l.asleep(t, n)
	}
}

// A case that can always be done does not starve the others.
func TestSelectionIsFair(t *testing.T) {
	const n, rounds = 5, 2000
	r, full := newRoom(t, new(atomic.Uint32), 1), new(basket)
	full.tokens.Store(n * rounds)
	cases := make([]*Case, n)
	for i := range cases {
		cases[i] = caseOf(r, taker{full})
	}
	var chosen [n]int
	for range rounds {
		i, err := selectOne(context.Background(), cases)
		if err != nil {
			t.Fatal(err)
		}
		chosen[i]++
	}
	for i, got := range chosen {
		if got < rounds/n/2 {
			t.Errorf("case %d was chosen %d times of %d: %v", i, got, rounds, chosen)
		}
	}
}

// A case that fails ends the wait with its index and error. The epoch of each room, the end of the
// context and the close of a room do so too.
func TestSelectionFails(t *testing.T) {
	for _, maxDirect := range []int32{0, 1} {
		t.Run(fmt.Sprint("maxDirect=", maxDirect), func(t *testing.T) {
			first, second := newRoom(t, new(atomic.Uint32), maxDirect), newRoom(t, new(atomic.Uint32), maxDirect)
			untimed(first)
			second.lot = first.lot
			run := func(ctx context.Context, cases ...*Case) chan selected {
				done := make(chan selected, 1)
				go func() {
					i, err := selectOne(ctx, cases)
					done <- selected{i, err}
				}()
				awaitSelection(t, first.lot, len(cases), maxDirect > 0)
				return done
			}
			want := func(what string, done chan selected, i int, err error) {
				t.Helper()
				if got := await(t, done, what); got.i != i || !errors.Is(got.err, err) {
					t.Errorf("%s: got %v, want %d, %v", what, got, i, err)
				}
			}
			a, b := new(basket), new(basket)
			cases := []*Case{caseOf(first, taker{a}), caseOf(second, taker{b})}
			bg := context.Background()

			done := run(bg, cases...)
			b.shut()
			want("a case fails", done, 1, errShut)
			b.closed.Store(false)

			var now atomic.Uint32
			done = run(bg, cases[0], caseOf(second, &generations{gate: new(Gate), now: &now}))
			now.Store(1)
			wakeAll(second.Epoch)
			want("the epoch of the second room", done, 1, nil)

			ctx, cancel := context.WithCancel(t.Context())
			done = run(ctx, cases...)
			cancel()
			want("the end of the context", done, -1, context.Canceled)
			if i, err := selectOne(ctx, cases); i != -1 || !errors.Is(err, context.Canceled) {
				t.Errorf("with an ended context: got %d, %v", i, err)
			}
			a.put(1)
			if i, err := selectOne(ctx, cases); i != 0 || err != nil {
				t.Errorf("with an ended context and a token: got %d, %v", i, err)
			}
			if i, err := selectOne(ctx, nil); i != -1 || !errors.Is(err, context.Canceled) {
				t.Errorf("without a case: got %d, %v", i, err)
			}
			failed := errors.New("failed")
			if i, err := selectOne(bg, []*Case{cases[0], FailedCase(failed)}); i != 1 || err != failed {
				t.Errorf("with a failed case: got %d, %v", i, err)
			}

			done = run(bg, cases...)
			second.Close()
			wakeAll(second.Epoch)
			want("the close of the second room", done, 1, os.ErrClosed)
		})
	}
}

// With the policy Spin a selection does not sleep.
func TestSelectionSpins(t *testing.T) {
	r, b := newRoom(t, new(atomic.Uint32), 1), new(basket)
	r.SetPolicy(Spin)
	r.lot.waitAny = func(context.Context, time.Duration, ...futex.Word) (int, error) {
		t.Error("it sleeps")
		return -1, nil
	}
	done := make(chan selected, 1)
	cases := []*Case{caseOf(r, taker{new(basket)}), caseOf(r, taker{b})}
	go func() {
		i, err := selectOne(context.Background(), cases)
		done <- selected{i, err}
	}()
	eventually(t, "selection", func() bool { return b.tries.Load() > 2*spinsPerYield })
	b.put(1)
	if got := await(t, done, "selection"); got != (selected{1, nil}) {
		t.Errorf("got %v", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if i, err := selectOne(ctx, cases); i != -1 || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %d, %v", i, err)
	}
}

// A selection that is woken by both of its words uses one of them, and passes the other wake on.
func TestSelectionPassesOn(t *testing.T) {
	for _, kind := range kinds {
		for _, maxDirect := range []int32{0, 1} {
			t.Run(fmt.Sprintf("%s/maxDirect=%d", kind.name, maxDirect), func(t *testing.T) {
				for range 4 {
					passOn(t, kind.taker, maxDirect)
				}
			})
		}
	}
}

func passOn(t *testing.T, kind func(*basket) Waiter, maxDirect int32) {
	epoch := new(atomic.Uint32)
	mine, other := newRoom(t, epoch, maxDirect), newRoom(t, epoch, 2)
	untimed(other)
	cont := stopping(mine)
	var b [2]basket
	var taken [2]chan error
	done := make(chan selected, 1)
	cases := []*Case{caseOf(mine, kind(&b[0])), caseOf(mine, kind(&b[1]))}
	go func() {
		i, err := selectOne(context.Background(), cases)
		done <- selected{i, err}
	}()
	awaitSelection(t, mine.lot, 2, maxDirect > 0)
	inKernel(t, 1) // the selection, or its hub, is the first in both queues of the kernel
	for i := range taken {
		taken[i] = make(chan error, 1)
		go func() { taken[i] <- other.take(context.Background(), kind(&b[i])) }()
		inKernel(t, 2+i)
	}
	b[0].put(1)
	b[1].put(1)
	close(cont)
	got := await(t, done, "selection")
	if err := await(t, taken[1-got.i], "the token that the selection has not taken"); err != nil {
		t.Error(err)
	}
	b[got.i].put(1)
	if err := await(t, taken[got.i], "the next token"); err != nil {
		t.Error(err)
	}
}

// Selections over several words, takers at one of them and publishers hammer the words, and some of
// the waits are cancelled. There are at most a few tokens at a time, and nothing ends a sleep but a
// wake, so a lost wakeup stops everything.
func TestSelectionsNeverStop(t *testing.T) {
	for _, kind := range kinds {
		for _, maxDirect := range []int32{0, 2, 100} {
			t.Run(fmt.Sprintf("%s/maxDirect=%d", kind.name, maxDirect), func(t *testing.T) {
				hammerSelections(t, kind.taker, maxDirect)
			})
		}
	}
}

func hammerSelections(t *testing.T, kind func(*basket) Waiter, maxDirect int32) {
	const words, tokens, selections, takersOfOne = 4, 2, 3, 2
	rounds := 3000
	if testing.Short() {
		rounds = 500
	}
	epoch := new(atomic.Uint32)
	rooms := []*Room{newRoom(t, epoch, maxDirect), newRoom(t, epoch, maxDirect)}
	rooms[0].SetPolicy(Adaptive)
	for _, r := range rooms {
		untimed(r)
	}
	var baskets [words]basket
	taken, ended := make(chan error, 1000), make(chan struct{}, 1000)
	ctx, stop := context.WithCancel(t.Context())
	n := 0
	waiter := func(wait func(ctx context.Context) error, cancels bool) {
		n++
		go func() {
			defer func() { ended <- struct{}{} }()
			for ctx.Err() == nil {
				turn, cancel := ctx, context.CancelFunc(func() {})
				if cancels {
					turn, cancel = context.WithTimeout(ctx, time.Duration(rand.IntN(200))*time.Microsecond)
				}
				err := wait(turn)
				cancel()
				if err == nil || !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
					taken <- err
				}
			}
		}()
	}
	for _, r := range rooms {
		for i := range selections {
			cases := make([]*Case, words)
			for j := range cases {
				cases[j] = caseOf(r, kind(&baskets[j]))
			}
			waiter(func(ctx context.Context) error { return second(selectOne(ctx, cases)) }, i == 0)
		}
		for i := range takersOfOne {
			b := &baskets[i%2]
			waiter(func(ctx context.Context) error { return r.take(ctx, kind(b)) }, i == 0)
		}
	}
	for range tokens {
		baskets[rand.IntN(words)].put(1)
	}
	for range rounds {
		if err := await(t, taken, "token"); err != nil {
			t.Error(err)
		}
		baskets[rand.IntN(words)].put(1)
	}
	for range tokens {
		await(t, taken, "token")
	}
	stop()
	for range n {
		await(t, ended, "end")
	}
}

func second(_ int, err error) error { return err }

// Many selections hold few threads.
func TestSelectionCrowd(t *testing.T) {
	const n, words = 200, 3
	r := newRoom(t, new(atomic.Uint32), 2)
	untimed(r)
	var baskets [words]basket
	done := make(chan selected, n)
	for range n {
		go func() {
			var cases []*Case
			for i := range baskets {
				cases = append(cases, caseOf(r, alikeTaker{taker{&baskets[i]}}))
			}
			i, err := selectOne(context.Background(), cases)
			done <- selected{i, err}
		}()
	}
	eventually(t, "selections asleep", func() bool {
		in, direct := r.lot.waiting()
		return in+words*direct == words*n && direct <= 2
	})
	for i := range n {
		baskets[i%words].put(1)
	}
	for range n {
		if got := await(t, done, "selection"); got.err != nil {
			t.Error(got.err)
		}
	}
}
