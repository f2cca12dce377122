package manager_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os/exec"
	"testing"
	"time"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/proc/manager"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

var speed = flag.Bool("speed", false, "compare the speed with Python's multiprocessing.Manager")

// python measures calls of a dict of Python's manager, in nanoseconds: by one process, and by 8 at once for each call of all.
const python = `
import json, multiprocessing, time

def loop(d, n, barrier):
    d["key"] = 1
    barrier.wait()
    for _ in range(n):
        d["key"] = 12345
    barrier.wait()

if __name__ == "__main__":
    with multiprocessing.Manager() as m:
        d = m.dict()
        d["key"] = 1
        times = {}
        n = 5000
        begin = time.perf_counter()
        for _ in range(n):
            d["key"] = 12345
        times["set"] = (time.perf_counter() - begin) / n * 1e9
        begin = time.perf_counter()
        for _ in range(n):
            d["key"]
        times["get"] = (time.perf_counter() - begin) / n * 1e9
        batch = {i: i for i in range(1000)}
        begin = time.perf_counter()
        for _ in range(100):
            d.update(batch)
        times["pair of a batch of 1000"] = (time.perf_counter() - begin) / 100000 * 1e9
        barrier = multiprocessing.Barrier(9)
        clients = [multiprocessing.Process(target=loop, args=(d, 2000, barrier)) for _ in range(8)]
        for c in clients:
            c.start()
        barrier.wait()
        begin = time.perf_counter()
        barrier.wait()
        times["set by 8 processes"] = (time.perf_counter() - begin) / 16000 * 1e9
        for c in clients:
            c.join()
        print(json.dumps(times))
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

// TestSpeed prints how many times as fast as Python's calls are.
func TestSpeed(t *testing.T) {
	if !*speed {
		t.Skip("takes half a minute, on a machine that does nothing else: -speed")
	}
	path, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3")
	}
	m := newManager(t, nil)
	ctx := Within(t)
	d := newDict[string, int](t, m)
	numbers := newDict[int, int](t, m)
	var items []manager.Item[int, int]
	for i := range 1000 {
		items = append(items, manager.Item[int, int]{Key: i, Value: i})
	}
	each := func(n int, f func() error) float64 {
		begin := time.Now()
		for range n {
			WantNil(t, "call", f())
		}
		return float64(time.Since(begin).Nanoseconds()) / float64(n)
	}
	for round := range 5 {
		ours := map[string]float64{
			"set":                     each(50000, func() error { return d.Set(ctx, "key", 12345) }),
			"get":                     each(50000, func() error { return Second(d.Get(ctx, "key")) }),
			"pair of a batch of 1000": each(500, func() error { return numbers.SetMany(ctx, items...) }) / 1000,
		}
		b := Closing(t, Must(psync.NewBarrier(Must(m.Segment())(t), "", 9, nil))(t))
		const clients, calls = 8, 10000
		g := proc.NewGroup(ctx)
		for range clients {
			g.Go(speedClient.With(speedJob{d, calls, b}))
		}
		WantNil(t, "Wait", Second(b.Wait(ctx)))
		ours["set by 8 processes"] = each(1, func() error { return Second(b.Wait(ctx)) }) / clients / calls
		WantNil(t, "Wait", g.Wait())

		out, err := exec.CommandContext(ctx, path, "-c", python).Output()
		if err != nil {
			t.Fatal(err)
		}
		var theirs map[string]float64
		WantNil(t, "Unmarshal", json.Unmarshal(out, &theirs))
		for name, ns := range ours {
			t.Logf("round %d: %-24s %8.0f ns, Python's %8.0f ns: %5.1f times as fast", round+1, name, ns, theirs[name], theirs[name]/ns)
		}
	}
}
