package ring_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/object"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

var leaseStorm = flag.Duration("storm.lease", 2*time.Second, "how long TestLeaseStorm lasts, in rounds of two seconds")

var stormHolder = proc.Register("storm holder", func(ctx context.Context, in stormArgs) (int, error) {
	o, err := object.Open(in.Segment, stormKind, "book", 1)
	if err != nil {
		return 0, err
	}
	book := newStormBook(o.Bytes())
	next := map[uint32]uint32{}
	for n := 0; ; n++ {
		l, err := in.Queue.Lease(ctx)
		if errors.Is(err, ring.ErrShutdown) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		m := l.Value()
		if m.Life >= stormLives || m.Number >= stormMessages || m != newStormMessage(m.Life, m.Number) {
			return n, fmt.Errorf("torn message %+v", m)
		}
		book.got[m.Life*stormMessages+m.Number]++
		if m.Number < next[m.Life] {
			book.disorder.Add(1)
		}
		next[m.Life] = m.Number + 1
		if err := l.Done(); err != nil {
			return n, err
		}
	}
})

// stormStayer is a putter that stays when it has put all its messages, so that it can be stopped and
// killed at any time before the end.
var stormStayer = proc.Register("storm stayer", func(ctx context.Context, in stormArgs) (int, error) {
	end, err := psync.OpenEvent(in.Segment, "end")
	if err != nil {
		return 0, err
	}
	n, err := putStorm(ctx, in)
	if err != nil {
		return n, err
	}
	return n, end.Wait(ctx)
})

// TestLeaseStorm kills, or stops for a while, one of four putters and four holders of leases every 20
// ms under load, and accounts for every message. A killed process is replaced.
func TestLeaseStorm(t *testing.T) {
	var sum stormCount
	begin := time.Now()
	for more := true; more; more = time.Since(begin) < *leaseStorm && !t.Failed() {
		sum.add(stormOfLeases(t, 2*time.Second))
	}
	t.Logf("%d messages in %.0f s, killed %d putters and %d holders, stopped %d processes: %d missing, %d extra, %d twice, %d out of order",
		sum.messages, time.Since(begin).Seconds(), sum.putters, sum.holders, sum.stopped, sum.missing, sum.extra, sum.twice, sum.disorder)
}

// A stormCount is what a storm has come to.
type stormCount struct {
	messages, putters, holders, stopped int
	missing, extra, twice, disorder     int
}

func (c *stormCount) add(d stormCount) {
	c.messages += d.messages
	c.putters += d.putters
	c.holders += d.holders
	c.stopped += d.stopped
	c.missing += d.missing
	c.extra += d.extra
	c.twice += d.twice
	c.disorder += d.disorder
}

func stormOfLeases(t *testing.T, lasts time.Duration) (c stormCount) {
	t.Helper()
	seg := Must(shm.Anonymous(stormBookSize+1<<20, nil))(t)
	defer seg.Close()
	o := Must(object.New(seg, object.Spec{Kind: stormKind, Name: "book", Size: stormBookSize, Fingerprint: 1}))(t)
	defer o.Close()
	book := newStormBook(o.Bytes())
	queue := Must(ring.NewQueue[stormMessage](seg, "queue", stormCapacity, nil))(t)
	defer queue.Close()

	ended := Must(psync.NewEvent(seg, "end"))(t)
	defer ended.Close()

	const putters, all = 4, 8
	life := uint32(0)
	var procs [all]*proc.Call[int]
	start := func(i int) {
		task := stormHolder
		if i < putters {
			task = stormStayer
		}
		procs[i] = Start(t, task, stormArgs{seg, queue, life})
		life++
	}
	for i := range procs {
		start(i)
	}
	ticks := time.NewTicker(20 * time.Millisecond)
	defer ticks.Stop()
	for end := time.Now().Add(lasts); time.Now().Before(end) && life < stormLives-all; {
		<-ticks.C
		i := rand.IntN(all)
		if rand.IntN(2) == 0 {
			Stop(t, procs[i])
			<-ticks.C
			Continue(t, procs[i])
			c.stopped++
			continue
		}
		Kill(t, procs[i])
		if i < putters {
			c.putters++
		} else {
			c.holders++
		}
		start(i)
	}
	book.stop.Store(1)
	WantNil(t, "Set", ended.Set())
	for _, p := range procs[:putters] {
		Result(t, p)
	}
	WantNil(t, "Shutdown", queue.Shutdown())
	for _, p := range procs[putters:] {
		Result(t, p)
	}
	Want(t, "Len at the end", queue.Len(), 0)

	for l := range life {
		put := int(book.put[l].Load())
		c.messages += put
		for n, got := range book.got[l*stormMessages : (l+1)*stormMessages] {
			switch {
			case got > 1:
				c.twice++
			case n < put && got == 0:
				c.missing++
			case n >= put && got != 0:
				c.extra++
			}
		}
	}
	c.disorder = int(book.disorder.Load())
	// A putter may be killed between Put and its note of it, and a holder between its note of a message
	// and Done. Then the message comes back, late.
	if c.missing > 0 || c.extra > c.putters || c.twice > c.holders || c.disorder > c.holders {
		t.Errorf("%+v", c)
	}
	return c
}
