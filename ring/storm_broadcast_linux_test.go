package ring_test

import (
	"bytes"
	"context"
	"encoding/binary"
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
type flockJob[M any] struct {
	Broadcast *ring.Broadcast[M]
	Cells     *Cells // 0: 1 ends publishers
	Life      uint32 // of a publisher
	Lives     int    // of publishers, at most
	Row       int    // of a lossless subscriber: its first cell; 0 for a lossy one
	Ready     int    // cell: a subscriber has subscribed
}

// A flock is the tasks of a storm with messages of type M. newMessage makes the message of a number
// in a life, and read returns what a message says. If it is torn, message and newMessage differ.
type flock[M any] struct {
	newMessage func(life, number uint32) M
	read       func(M) (life, number uint32)
	equal      func(a, b M) bool
	publisher  *proc.Task[flockJob[M], int]
	subscriber *proc.Task[flockJob[M], int]
}

func newFlock[M any](name string, newMessage func(life, number uint32) M, read func(M) (life, number uint32), equal func(a, b M) bool) *flock[M] {
	f := &flock[M]{newMessage: newMessage, read: read, equal: equal}
	f.publisher = Task(name+" publisher", f.publish)
	f.subscriber = Task(name+" subscriber", f.receive)
	return f
}

var (
	plainFlock = newFlock("flock", newStormMessage,
		func(m stormMessage) (uint32, uint32) { return m.Life, m.Number },
		func(a, b stormMessage) bool { return a == b })
	encodedFlock = newFlock("encoded flock", encodedStormMessage,
		func(m []byte) (uint32, uint32) {
			return binary.LittleEndian.Uint32(m), binary.LittleEndian.Uint32(m[4:])
		}, bytes.Equal)
)

func (f *flock[M]) publish(ctx context.Context, j flockJob[M]) (int, error) {
	for n := uint32(0); j.Cells.At(0).Load() == 0; n++ {
		if err := j.Broadcast.Publish(ctx, f.newMessage(j.Life, n)); err != nil {
			return int(n), err
		}
		j.Cells.At(1 + int(j.Life)).Store(n + 1)
	}
	return 0, nil
}

func (f *flock[M]) receive(ctx context.Context, j flockJob[M]) (int, error) {
	s, err := j.Broadcast.Subscribe(&ring.SubscribeOptions{Lossy: j.Row == 0})
	if err != nil {
		return 0, err
	}
	j.Cells.Set(j.Ready, 1)
	next := make([]uint32, j.Lives)
	lost, received := false, 0
	for m, err := range s.All(ctx) {
		if errors.Is(err, ring.ErrLost) && j.Row == 0 {
			lost = true
			clear(next) // a value of any publisher may be missing
			continue
		}
		if err != nil {
			return received, err
		}
		life, number := f.read(m)
		switch {
		case int(life) >= j.Lives || !f.equal(m, f.newMessage(life, number)):
			return received, fmt.Errorf("torn value %d of %d: %.200v", number, life, m)
		case next[life] != 0 && number != next[life]:
			return received, fmt.Errorf("value %d of publisher %d after %d; lost any: %v", number, life, next[life]-1, lost)
		}
		next[life] = number + 1
		if j.Row != 0 {
			j.Cells.At(j.Row + int(life)).Store(number + 1)
		}
		received++
	}
	return received, nil
}

// TestBroadcastStorm kills publishers and subscribers at random moments under load and replaces
// them. Each lossless subscriber that lives on receives each value whose Publish has returned since
// it subscribed, in the order of its publisher. No process waits for a dead one.
func TestBroadcastStorm(t *testing.T) {
	plainFlock.storm(t, *broadcastKills, 0)
}

// TestBroadcastEncodedStorm does the same with values that are encoded, and of which the storage
// can't hold as many as there are slots. At the end no block is lost.
func TestBroadcastEncodedStorm(t *testing.T) {
	encodedFlock.storm(t, *broadcastKills, 30<<10)
}

// storm is the test. If the values are encoded, the storage has that many bytes.
func (f *flock[M]) storm(t *testing.T, kills, storage int) {
	t.Helper()
	if testing.Short() {
		kills /= 5
	}
	lives := kills + flockPublishers
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute+time.Duration(kills)*20*time.Millisecond)
	defer cancel()
	seg := Anonymous(t, 0)
	b := newBroadcast[M](t, seg, flockCapacity, &ring.BroadcastOptions{Subscribers: flockLossless + 1, Storage: storage})
	rows := 1 + lives
	ready := rows + flockLossless*lives
	cells := NewCells(t, seg, ready+flockSize)
	life := uint32(0)
	var procs [flockSize]*proc.Call[int]
	var since [flockSize]uint32 // publishers' lives that began before the subscriber
	start := func(i int) {
		j := flockJob[M]{Broadcast: b, Cells: cells, Lives: lives, Ready: ready + i}
		if i < flockPublishers {
			j.Life = life
			life++
			procs[i] = Start(t, f.publisher, j)
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
		procs[i] = Start(t, f.subscriber, j)
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
	if storage > 0 {
		Want(t, "blocks that are in use for no value", b.BlocksAstray(), 0)
	}
	slices.Sort(recovery)
	t.Logf("%d published, %d received by the last subscribers; from a kill until %d values were published: median %v, maximum %v of %d",
		total(), received, 2*flockCapacity, recovery[len(recovery)/2], recovery[len(recovery)-1], len(recovery))
}
