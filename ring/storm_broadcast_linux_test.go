package ring_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
)

var broadcastKills = flag.Int("broadcast.kills", 100, "how many processes TestBroadcastStorm kills; a fifth of them with -short")

const (
	flockPublishers = 2
	flockLossless   = 2
	flockLossy      = 1
	flockSize       = flockPublishers + flockLossless + flockLossy
	flockCapacity   = 16
)

// A flockJob is the argument of a process of the storm. Publisher life L counts in cell 1+L how many
// of its publishes have returned. A lossless subscriber stores in its row of cells, for each life of
// a publisher, 1 + the number of the last value that it has received.
type flockJob struct {
	Broadcast *ring.Broadcast[stormMessage]
	Cells     *Cells // 0: 1 ends publishers
	Life      uint32 // of a publisher
	Lives     int    // of publishers, at most
	Row       int    // of a lossless subscriber: its first cell; 0 for a lossy one
	Ready     int    // cell: a subscriber has subscribed
}

var flockPublisher = Task("flock publisher", func(ctx context.Context, j flockJob) (int, error) {
	for n := uint32(0); j.Cells.At(0).Load() == 0; n++ {
		if err := j.Broadcast.Publish(ctx, newStormMessage(j.Life, n)); err != nil {
			return int(n), err
		}
		j.Cells.At(1 + int(j.Life)).Store(n + 1)
	}
	return 0, nil
})

var flockSubscriber = Task("flock subscriber", func(ctx context.Context, j flockJob) (int, error) {
	s, err := j.Broadcast.Subscribe(&ring.SubscribeOptions{Lossy: j.Row == 0})
	if err != nil {
		return 0, err
	}
	j.Cells.Set(j.Ready, 1)
	next := make([]uint32, j.Lives)
	lost, received := false, 0
	for m, err := range s.All(ctx) {
		switch {
		case errors.Is(err, ring.ErrLost) && j.Row == 0:
			lost = true
			clear(next) // a value of any publisher may be missing
			continue
		case err != nil:
			return received, err
		case int(m.Life) >= j.Lives || m != newStormMessage(m.Life, m.Number):
			return received, fmt.Errorf("torn value %+v", m)
		case next[m.Life] != 0 && m.Number != next[m.Life]:
			return received, fmt.Errorf("value %d of publisher %d after %d; lost any: %v", m.Number, m.Life, next[m.Life]-1, lost)
		}
		next[m.Life] = m.Number + 1
		if j.Row != 0 {
			j.Cells.At(j.Row + int(m.Life)).Store(m.Number + 1)
		}
		received++
	}
	return received, nil
})

// TestBroadcastStorm kills publishers and subscribers at random moments under load and replaces
// them. Each lossless subscriber that lives on receives each value whose Publish has returned since
// it subscribed, in the order of its publisher. No process waits for a dead one.
func TestBroadcastStorm(t *testing.T) {
	kills := *broadcastKills
	if testing.Short() {
		kills /= 5
	}
	lives := kills + flockPublishers
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute+time.Duration(kills)*20*time.Millisecond)
	defer cancel()
	seg := Anonymous(t, 0)
	b := newBroadcast[stormMessage](t, seg, flockCapacity, &ring.BroadcastOptions{Subscribers: flockLossless + 1})
	rows := 1 + lives
	ready := rows + flockLossless*lives
	cells := NewCells(t, seg, ready+flockSize)
	life := uint32(0)
	var procs [flockSize]*proc.Call[int]
	var since [flockSize]uint32 // publishers' lives that began before the subscriber
	start := func(i int) {
		j := flockJob{Broadcast: b, Cells: cells, Lives: lives, Ready: ready + i}
		if i < flockPublishers {
			j.Life = life
			life++
			procs[i] = Start(t, flockPublisher, j)
			return
		}
		if i < flockPublishers+flockLossless {
			j.Row = rows + (i-flockPublishers)*lives
			for n := range lives {
				cells.At(j.Row + n).Store(0)
			}
		}
		cells.At(j.Ready).Store(0)
		since[i] = life
		procs[i] = Start(t, flockSubscriber, j)
		WantNil(t, "the subscriber has subscribed", cells.Until(ctx, j.Ready, 1))
	}
	for i := range procs {
		start(flockSize - 1 - i) // subscribers first
	}
	total := func() (n uint64) {
		for l := range lives {
			n += uint64(cells.At(1 + l).Load())
		}
		return n
	}
	var recovery []time.Duration
	for range kills {
		time.Sleep(time.Duration(rand.IntN(4000)) * time.Microsecond) // a random moment
		i := rand.IntN(flockSize)
		before := total()
		Kill(t, procs[i])
		killed := time.Now()
		// The others go on, whatever the dead process held.
		Eventually(t, "the others publish", func() bool { return total() >= before+2*flockCapacity })
		recovery = append(recovery, time.Since(killed))
		start(i)
	}
	cells.At(0).Store(1)
	for _, p := range procs[:flockPublishers] {
		Result(t, p)
	}
	WantNil(t, "Shutdown", b.Shutdown())
	received := 0
	for i, p := range procs[flockPublishers:] {
		received += Result(t, p)
		if i >= flockLossless {
			continue
		}
		for l := range life {
			put, got := cells.At(1+int(l)).Load(), cells.At(rows+i*lives+int(l)).Load()
			if got != put && got != put+1 && (got != 0 || l >= since[flockPublishers+i]) {
				t.Errorf("subscriber %d, there since life %d: of life %d, which published %d, the last value received is %d",
					i, since[flockPublishers+i], l, put, int(got)-1)
			}
		}
	}
	slices.Sort(recovery)
	t.Logf("%d published, %d received by the last subscribers; from a kill until %d values were published: median %v, maximum %v of %d",
		total(), received, 2*flockCapacity, recovery[len(recovery)/2], recovery[len(recovery)-1], len(recovery))
}
