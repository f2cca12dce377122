package manager_test

import (
	"context"
	"errors"
	"flag"
	"slices"
	"testing"
	"time"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/proc/manager"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

var speed = flag.Bool("speed", false, "compare the speed with Python's multiprocessing.Manager")

// python makes calls of a dict of Python's manager. For each line on its standard input, the name of
// a loop and a number of calls, it prints how many nanoseconds each call took.
const python = `
import multiprocessing, sys, time

def client(d, n, barrier):
    d["key"] = 1
    barrier.wait()
    for _ in range(n):
        d["key"] = 12345
    barrier.wait()

def set(d, n):
    for _ in range(n):
        d["key"] = 12345

def get(d, n):
    for _ in range(n):
        d["key"]

pairs = {i: i for i in range(1000)}

def batch(d, n):
    for _ in range(n // 1000):
        d.update(pairs)

def timed(f, *args):
    begin = time.perf_counter()
    f(*args)
    return time.perf_counter() - begin

def clients(d, n):
    barrier = multiprocessing.Barrier(9)
    all = [multiprocessing.Process(target=client, args=(d, n // 8, barrier)) for _ in range(8)]
    for c in all:
        c.start()
    barrier.wait()
    took = timed(barrier.wait)
    for c in all:
        c.join()
    return took

if __name__ == "__main__":
    with multiprocessing.Manager() as m:
        d, numbers = m.dict(), m.dict()
        set(d, 100)
        for line in sys.stdin:
            name, n = line.split()
            n = int(n)
            if name == "clients":
                took = clients(d, n)
            elif name == "batch":
                took = timed(batch, numbers, n)
            else:
                took = timed(globals()[name], d, n)
            print(took / n * 1e9, flush=True)
`

type speedJob struct {
	Dict    *manager.Dict[string, int]
	Calls   int
	Barrier *psync.Barrier
}

var speedClient = proc.Register("speed client", func(ctx context.Context, j speedJob) (proc.None, error) {
	err := j.Dict.Set(ctx, "key", 1) // connects
	_, berr := j.Barrier.Wait(ctx)
	err = errors.Join(err, berr)
	for range j.Calls {
		if err == nil {
			err = j.Dict.Set(ctx, "key", 12345)
		}
	}
	_, berr = j.Barrier.Wait(ctx)
	return proc.None{}, errors.Join(err, berr)
})

// each returns how many nanoseconds each of n calls of f takes.
func each(t *testing.T, n int, f func() error) float64 {
	begin := time.Now()
	for range n {
		WantNil(t, "call", f())
	}
	return float64(time.Since(begin).Nanoseconds()) / float64(n)
}

// A race is a loop that both sides run in turns, in short rounds, so that what else the machine does
// meets both. It has so many rounds, of so many calls of ours and of Python's.
type race struct {
	title, name          string
	rounds, ours, theirs int
	run                  func(n int) float64
}

// TestSpeed prints how many times as fast as Python's calls are: the medians, the quarter marks of the
// rounds' ratios, and the times of the best tenth of the rounds, which other load disturbs least.
func TestSpeed(t *testing.T) {
	if !*speed {
		t.Skip("takes half a minute, on a machine that does nothing else: -speed")
	}
	p := StartPython(t, python)
	m := newManager(t, nil)
	ctx := t.Context() // with other load, it may take long
	d := newDict[string, int](t, m)
	numbers := newDict[int, int](t, m)
	var items []manager.Item[int, int]
	for i := range 1000 {
		items = append(items, manager.Item[int, int]{Key: i, Value: i})
	}
	b := Closing(t, Must(psync.NewBarrier(Must(m.Segment())(t), "", 9, nil))(t))
	for _, r := range []race{
		{"set", "set", 400, 1000, 100, func(n int) float64 {
			return each(t, n, func() error { return d.Set(ctx, "key", 12345) })
		}},
		{"get", "get", 400, 1000, 100, func(n int) float64 {
			return each(t, n, func() error { return Second(d.Get(ctx, "key")) })
		}},
		{"pair of a batch of 1000", "batch", 100, 10000, 10000, func(n int) float64 {
			return each(t, n/1000, func() error { return numbers.SetMany(ctx, items...) }) / 1000
		}},
		{"set by 8 processes", "clients", 10, 400000, 8000, func(n int) float64 {
			g := proc.NewGroup(ctx)
			for range 8 {
				g.Go(speedClient.With(speedJob{d, n / 8, b}))
			}
			WantNil(t, "Wait", Second(b.Wait(ctx)))
			ns := each(t, 1, func() error { return Second(b.Wait(ctx)) }) / float64(n)
			WantNil(t, "Wait", g.Wait())
			return ns
		}},
	} {
		r.report(t, p) // in this goroutine, which has made the connection: another one shares it by a lock
	}
}

func (r race) report(t *testing.T, p *Peer) {
	var ours, theirs, ratios []float64
	for range r.rounds {
		a := r.run(r.ours)
		b := p.AskNumber(r.name, r.theirs)
		ours, theirs, ratios = append(ours, a), append(theirs, b), append(ratios, b/a)
	}
	at := func(v []float64, q float64) float64 {
		slices.Sort(v)
		return v[int(q*float64(len(v)-1))]
	}
	t.Logf("%-24s %6.0f ns, Python's %6.0f ns: %.1f times as fast (%.1f to %.1f); best tenth %6.0f and %6.0f ns: %.1f times",
		r.title, at(ours, .5), at(theirs, .5), at(ratios, .5), at(ratios, .25), at(ratios, .75),
		at(ours, .1), at(theirs, .1), at(theirs, .1)/at(ours, .1))
}
