package ring_test

import (
	"context"
	"errors"
	"flag"
	"strings"
	"testing"
	"time"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

var (
	speed       = flag.Bool("speed", false, "tests of speed, on a machine that does nothing else")
	speedRounds = flag.Int("speed.rounds", 11, "of how many rounds -speed prints the medians")
)

// python sends messages from one process to another. For each line on its standard input, the name of
// a transport, that of a message and how many, it prints how many nanoseconds each message took.
const python = `
import multiprocessing, sys, time

messages = {"string": "x" * 64, "struct": (7, "n" * 20, ["red", "green", "blue"])}
fork = multiprocessing.get_context("fork")
ends, senders = {}, {}
out, ends["pipe"] = fork.Pipe()
senders["pipe"], ends["pipe"] = out.send, ends["pipe"].recv
q = fork.Queue(1024)
senders["queue"], ends["queue"] = q.put, q.get
done = fork.Semaphore(0)

def receive(get):
    while True:
        if get() is None:
            done.release()

for get in ends.values():
    fork.Process(target=receive, args=(get,), daemon=True).start()
for line in sys.stdin:
    transport, message, n = line.split()
    send, m, n = senders[transport], messages[message], int(n)
    begin = time.perf_counter()
    for _ in range(n):
        send(m)
    send(None)
    done.acquire()
    print((time.perf_counter() - begin) / n * 1e9, flush=True)
`

// A speedJob is the argument of a process that takes the values of one of these queues.
type speedJob struct {
	Array *ring.Queue[[64]byte]
	Text  *ring.Queue[string]
	Bytes *ring.Queue[[]byte]
	Tags  *ring.Queue[labelled]
}

var speedTask = proc.Register("mp/ring/speed", func(ctx context.Context, j speedJob) (int, error) {
	switch {
	case j.Array != nil:
		return drain(ctx, j.Array)
	case j.Text != nil:
		return drain(ctx, j.Text)
	case j.Tags != nil:
		return drain(ctx, j.Tags)
	}
	return drain(ctx, j.Bytes)
})

// drain takes values until the queue is shut down, into one variable, and returns how many.
func drain[T any](ctx context.Context, q *ring.Queue[T]) (n int, err error) {
	var v T
	for {
		if err := q.GetInto(ctx, &v); errors.Is(err, ring.ErrShutdown) {
			return n, nil
		} else if err != nil {
			return n, err
		}
		n++
	}
}

// speedOf returns how many nanoseconds each of n values takes from this process to another one.
func speedOf[T any](t *testing.T, v T, n int, job func(*ring.Queue[T]) speedJob) float64 {
	seg := Must(shm.Anonymous(room, nil))(t)
	defer seg.Close()
	q := Must(ring.NewQueue[T](seg, "", 1024, nil))(t)
	c := Start(t, speedTask, job(q))
	put := func(n int) {
		for range n {
			if err := q.Put(t.Context(), v); err != nil {
				t.Fatal(err)
			}
		}
	}
	put(2 * 1024) // the other process runs now
	begin := time.Now()
	put(n)
	ns := float64(time.Since(begin).Nanoseconds()) / float64(n)
	WantNil(t, "Shutdown", q.Shutdown())
	Want(t, "the number of values", Result(t, c), n+2*1024)
	WantNil(t, "Close", q.Close())
	return ns
}

// TestSpeed prints how many values go from one process to another in a second: of a fixed layout,
// strings, byte slices whose memory is used again, and structs. The ratios are medians of those of the
// rounds, each of which has all kinds in turn.
func TestSpeed(t *testing.T) {
	if !*speed {
		t.Skip("takes a minute, on a machine that does nothing else: -speed")
	}
	const n, theirs = 1_000_000, 20_000
	kinds := []struct {
		name string
		run  func() float64
	}{
		{"[64]byte", func() float64 {
			return speedOf(t, [64]byte{1}, n, func(q *ring.Queue[[64]byte]) speedJob { return speedJob{Array: q} })
		}},
		{"string of 64 bytes", func() float64 {
			return speedOf(t, text64, n, func(q *ring.Queue[string]) speedJob { return speedJob{Text: q} })
		}},
		{"[]byte of 64 bytes, memory reused", func() float64 {
			return speedOf(t, []byte(text64), n, func(q *ring.Queue[[]byte]) speedJob { return speedJob{Bytes: q} })
		}},
		{"struct", func() float64 {
			return speedOf(t, someTags, n, func(q *ring.Queue[labelled]) speedJob { return speedJob{Tags: q} })
		}},
		{"Python, pipe, string", nil}, {"Python, queue, string", nil},
		{"Python, pipe, struct", nil}, {"Python, queue, struct", nil},
	}
	peer := StartPython(t, python)
	ns := make([][]float64, len(kinds))
	for range *speedRounds {
		for i, k := range kinds {
			if k.run != nil {
				ns[i] = append(ns[i], k.run())
				continue
			}
			what := strings.Split(k.name, ", ")
			ns[i] = append(ns[i], peer.AskNumber(what[1], what[2], theirs))
		}
	}
	for i, k := range kinds {
		t.Logf("%-36s %8.3f million/s; to [64]byte %5.2f, string %6.2f, struct %6.2f", k.name, 1e3/Median(ns[i]),
			ratio(ns[0], ns[i]), ratio(ns[1], ns[i]), ratio(ns[3], ns[i]))
	}
}

// ratio returns the median of the ratios of the rounds, of the rate of b to that of a.
func ratio(a, b []float64) float64 {
	var rs []float64
	for i := range a {
		rs = append(rs, a[i]/b[i])
	}
	return Median(rs)
}
