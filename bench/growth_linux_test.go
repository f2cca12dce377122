package bench

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/sys"
	"github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// The flags of TestGrowth.
var (
	growth       = flag.Duration("growth", 0, "how long TestGrowth measures each figure; 0: a moment for some of them")
	growthRounds = flag.Int("growth.rounds", 5, "of how many rounds TestGrowth prints the medians, if -growth is given")
)

// A growJob is what a process of TestGrowth does: it sends messages for a time, or receives them until
// they end. One of Queue, Bytes and Conn is how.
type growJob struct {
	Queue *ring.Queue[[8]uint64]
	Bytes *ring.Queue[[]byte]
	Conn  *ring.Conn

	Send       bool
	For        time.Duration // how long to send
	Size       int           // of a message, for Bytes and Conn
	Goroutines int
	Start      *psync.Barrier
}

// A growCount is what a process of TestGrowth has sent or received.
type growCount struct {
	Messages int64
	End      int64 // when it ended, by sys.Monotonic
}

var growTask = testkit.Task("mp/bench/grow", func(ctx context.Context, j growJob) (growCount, error) {
	if _, err := j.Start.Wait(ctx); err != nil {
		return growCount{}, err
	}
	var over atomic.Bool
	defer time.AfterFunc(j.For, func() { over.Store(true) }).Stop()
	var sum atomic.Int64
	var wg sync.WaitGroup
	failed := make(chan error, j.Goroutines)
	for range j.Goroutines {
		wg.Go(func() {
			n, err := j.move(ctx, &over)
			sum.Add(n)
			failed <- err
		})
	}
	wg.Wait()
	close(failed)
	var err error
	for e := range failed {
		err = errors.Join(err, e)
	}
	end, clock := sys.Monotonic()
	return growCount{sum.Load(), end}, errors.Join(err, clock)
})

// move sends messages until over, or receives until they end. It returns how many.
func (j growJob) move(ctx context.Context, over *atomic.Bool) (n int64, err error) {
	one := j.mover(ctx)
	for !j.Send || !over.Load() {
		err := one()
		if errors.Is(err, ring.ErrShutdown) || err == io.EOF {
			break
		}
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// mover returns a function that moves one message.
func (j growJob) mover(ctx context.Context) func() error {
	buf := make([]byte, j.Size)
	var v [8]uint64
	switch {
	case j.Queue != nil && j.Send:
		return func() error { return j.Queue.PutFrom(ctx, &v) }
	case j.Queue != nil:
		return func() error { return j.Queue.GetInto(ctx, &v) }
	case j.Bytes != nil && j.Send:
		return func() error { return j.Bytes.Put(ctx, buf) }
	case j.Bytes != nil:
		return func() error {
			b, err := j.Bytes.Get(ctx)
			return j.sized(len(b), err)
		}
	case j.Send:
		return func() error { return j.Conn.Send(ctx, buf) }
	}
	return func() error { return j.sized(j.Conn.ReceiveInto(ctx, buf)) }
}

// sized returns err, or an error if a message does not have n bytes.
func (j growJob) sized(n int, err error) error {
	if err == nil && n != j.Size {
		err = damaged(n, j.Size, 0)
	}
	return err
}

// A growCase is a row of a table of TestGrowth.
type growCase struct {
	row                string
	capacity           int // of a queue
	size               int // of a message; 0: [8]uint64
	pipe               bool
	senders, receivers int // processes
	goroutines         int // of each process
}

// run returns how many messages arrive in a second.
func (c growCase) run(t *testing.T, d time.Duration) float64 {
	t.Helper()
	seg, err := shm.Anonymous(growSegment, nil)
	testkit.WantNil(t, "the segment", err)
	defer seg.Close()
	start := testkit.Must(psync.NewBarrier(seg, "start", c.senders+c.receivers+1, nil))(t)
	send, receive := growJob{Start: start, Size: c.size, Goroutines: c.goroutines, For: d, Send: true}, growJob{Start: start, Size: c.size, Goroutines: c.goroutines}
	end := func() error { return nil } // ends the messages when the senders have ended
	switch {
	case c.pipe:
		a, b, err := ring.NewPipe(seg, "pipe", nil)
		testkit.WantNil(t, "the pipe", err)
		send.Conn, receive.Conn = a, b
	case c.size > 0:
		q := testkit.Must(ring.NewQueue[[]byte](seg, "bytes", c.capacity, &ring.QueueOptions[[]byte]{Storage: growSegment / 4}))(t)
		send.Bytes, receive.Bytes, end = q, q, q.Shutdown
	default:
		q := testkit.Must(ring.NewQueue[[8]uint64](seg, "queue", c.capacity, nil))(t)
		send.Queue, receive.Queue, end = q, q, q.Shutdown
	}
	var sending, receiving []*proc.Call[growCount]
	for range c.senders {
		sending = append(sending, testkit.Start(t, growTask, send))
	}
	for range c.receivers {
		receiving = append(receiving, testkit.Start(t, growTask, receive))
	}
	testkit.WantNil(t, "Wait", testkit.Second(start.Wait(testkit.Within(t))))
	begin := testkit.Must(sys.Monotonic())(t)
	if c.pipe { // the children have theirs: the end of file follows the last message
		testkit.WantNil(t, "Close", errors.Join(send.Conn.Close(), receive.Conn.Close()))
	}
	var sent, got, last int64
	for _, p := range sending {
		sent += testkit.Result(t, p).Messages
	}
	testkit.WantNil(t, "the end of the messages", end())
	for _, p := range receiving {
		r := testkit.Result(t, p)
		got += r.Messages
		last = max(last, r.End)
	}
	testkit.Want(t, "messages received", got, sent)
	return float64(got) / time.Duration(last-begin).Seconds()
}

// growSegment is the size of the segment, of which the longest message takes a quarter.
const growSegment = 512 << 20

// growTables are the tables of TestGrowth.
func growTables() (tables []growTable) {
	capacities := growTable{title: "capacity of a queue of 64 bytes, 1 to 1"}
	for _, n := range []int{16, 64, 256, 1 << 10, 1 << 14, 1 << 17, 1 << 20} {
		capacities.add(growCase{row: fmt.Sprintf("%d", n), capacity: n, senders: 1, receivers: 1, goroutines: 1})
	}
	queues, pipes := growTable{title: "bytes of a message of a Queue[[]byte], 1 to 1"}, growTable{title: "bytes of a message of a pipe"}
	for _, n := range []int{8, 64, 512, 4 << 10, 32 << 10, 256 << 10, 1 << 20, 8 << 20, 64 << 20} {
		queues.add(growCase{row: fmt.Sprintf("%d", n), capacity: 1 << 10, size: n, senders: 1, receivers: 1, goroutines: 1})
		pipes.add(growCase{row: fmt.Sprintf("%d", n), size: n, pipe: true, senders: 1, receivers: 1, goroutines: 1})
	}
	processes := growTable{title: "processes that put, and as many that get, 64 bytes"}
	for _, n := range []int{1, 2, 4, 8, 16, 32} {
		processes.add(growCase{row: fmt.Sprintf("%d", n), capacity: 1 << 10, senders: n, receivers: n, goroutines: 1})
	}
	goroutines := growTable{title: "goroutines that put in one process, and as many that get in another, 64 bytes"}
	for _, n := range []int{1, 10, 100, 1000, 5000} {
		goroutines.add(growCase{row: fmt.Sprintf("%d", n), capacity: 1 << 10, senders: 1, receivers: 1, goroutines: n})
	}
	return []growTable{capacities, queues, pipes, processes, goroutines}
}

// A growTable is a table of TestGrowth.
type growTable struct {
	title string
	cases []growCase
}

func (g *growTable) add(c growCase) { g.cases = append(g.cases, c) }

// TestGrowth measures how cost grows with capacities, sizes, processes and goroutines, and prints the
// tables of docs/design/performance.md. Without -growth it runs the ends of each table for a moment,
// and shows that all messages arrive.
func TestGrowth(t *testing.T) {
	d, rounds := *growth, *growthRounds
	if d == 0 {
		d, rounds = 20*time.Millisecond, 1
	}
	for _, g := range growTables() {
		t.Run(strings.ReplaceAll(g.title, " ", "_"), func(t *testing.T) {
			cases := g.cases
			if *growth == 0 {
				cases = []growCase{cases[0], cases[len(cases)/2]}
			}
			rates := make([][]float64, len(cases))
			for range rounds {
				for i, c := range cases {
					rates[i] = append(rates[i], c.run(t, d))
				}
			}
			if *growth > 0 {
				t.Log(growPage(g.title, cases, rates))
			}
		})
	}
}

// growPage returns a table in Markdown, with medians.
func growPage(title string, cases []growCase, rates [][]float64) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n| %s | messages/s | ns each | GB/s |\n|-:|-:|-:|-:|\n", title)
	for i, c := range cases {
		slices.Sort(rates[i])
		rate := rates[i][len(rates[i])/2]
		size := cmp.Or(c.size, 64)
		fmt.Fprintf(&b, "| %s | %.0f | %.0f | %.2f |\n", c.row, rate, 1e9/rate, rate*float64(size)/1e9)
	}
	return b.String()
}
