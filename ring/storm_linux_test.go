package ring_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

const (
	stormKills    = 500
	stormPutters  = 2
	stormGetters  = 2
	stormCapacity = 64
	stormMessages = 1 << 17 // limit for one putter
	stormLives    = stormKills + 100
	stormKind     = shm.Kind(1000)
)

// stormBook is the record that the processes of a storm keep in shared memory, so that it survives
// their deaths. Each process that is started is one life.
//
//	0    stop      1: putters end
//	4    disorder  messages of one putter that a getter got out of order
//	128  put       for each life, how many of its Puts have returned
//	     got       for each life and message, how often it was got
type stormBook struct {
	stop, disorder *atomic.Uint32
	put            []atomic.Uint32
	got            []byte
}

const stormBookSize = 128 + 4*stormLives + stormLives*stormMessages

func newStormBook(mem []byte) stormBook {
	return stormBook{
		stop: view.At[atomic.Uint32](mem, 0), disorder: view.At[atomic.Uint32](mem, 4),
		put: view.Slice[atomic.Uint32](mem, 128, stormLives), got: mem[128+4*stormLives:],
	}
}

// account compares, for the lives before life, what was put and what was got.
func (b stormBook) account(life uint32) (messages, missing, extra, doubled int) {
	for l := range life {
		put := int(b.put[l].Load())
		messages += put
		for n, got := range b.got[l*stormMessages : (l+1)*stormMessages] {
			switch {
			case got > 1:
				doubled++
			case n < put && got == 0:
				missing++
			case n >= put && got != 0:
				extra++
			}
		}
	}
	return messages, missing, extra, doubled
}

// stormArgs are the arguments of a putter or getter.
type stormArgs struct {
	Segment *shm.Segment
	Queue   *ring.Queue[stormMessage]
	Life    uint32
}

// stormMessage is a message of one life. It is long enough to be torn.
type stormMessage struct {
	Life, Number uint32
	Copies       [14]uint32
}

func newStormMessage(life, number uint32) stormMessage {
	m := stormMessage{Life: life, Number: number}
	for i := range m.Copies {
		m.Copies[i] = life ^ number + uint32(i)
	}
	return m
}

var stormPutter = proc.Register("storm putter", putStorm)

// putStorm puts the messages of one life, until the storm ends.
func putStorm(ctx context.Context, in stormArgs) (int, error) {
	o, err := object.Open(in.Segment, stormKind, "book", 1)
	if err != nil {
		return 0, err
	}
	book := newStormBook(o.Bytes())
	for i := range uint32(stormMessages) {
		if book.stop.Load() != 0 {
			return int(i), nil
		}
		if err := in.Queue.Put(ctx, newStormMessage(in.Life, i)); err != nil {
			return int(i), err
		}
		book.put[in.Life].Store(i + 1)
	}
	return stormMessages, nil
}

var stormGetter = proc.Register("storm getter", func(ctx context.Context, in stormArgs) (int, error) {
	o, err := object.Open(in.Segment, stormKind, "book", 1)
	if err != nil {
		return 0, err
	}
	book := newStormBook(o.Bytes())
	next := map[uint32]uint32{}
	for n := 0; ; n++ {
		m, err := in.Queue.Get(ctx)
		if errors.Is(err, ring.ErrShutdown) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		if m.Life >= stormLives || m.Number >= stormMessages || m != newStormMessage(m.Life, m.Number) {
			return n, fmt.Errorf("torn message %+v", m)
		}
		book.got[m.Life*stormMessages+m.Number]++
		if m.Number < next[m.Life] {
			book.disorder.Add(1)
		}
		next[m.Life] = m.Number + 1
	}
})

// TestQueueStorm kills putters and getters at random moments under load, and accounts for every
// message.
func TestQueueStorm(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	seg, err := shm.Anonymous(stormBookSize+1<<20, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer seg.Close()
	o, err := object.New(seg, object.Spec{Kind: stormKind, Name: "book", Size: stormBookSize, Fingerprint: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	book := newStormBook(o.Bytes())
	queue, err := ring.NewQueue[stormMessage](seg, "queue", stormCapacity, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer queue.Close()

	kills := stormKills
	if testing.Short() {
		kills = 50
	}
	life := uint32(0)
	start := func(task *proc.Task[stormArgs, int]) *proc.Process {
		c, err := task.New(stormArgs{seg, queue, life}, nil)
		if err == nil {
			err = c.Start(ctx)
		}
		if err != nil {
			t.Fatalf("life %d: %v", life, err)
		}
		life++
		return c.Process
	}
	tasks := [stormPutters + stormGetters]*proc.Task[stormArgs, int]{stormPutter, stormPutter, stormGetter, stormGetter}
	var procs [len(tasks)]*proc.Process
	for i, task := range tasks {
		procs[i] = start(task)
	}
	defer func() {
		for _, p := range procs {
			p.Kill()
			p.Join(context.Background())
		}
	}()

	total := func() (n uint64) {
		for i := range book.put {
			n += uint64(book.put[i].Load())
		}
		return n
	}
	var recovery []time.Duration
	killedGetters, killedPutters := 0, 0
	for range kills {
		time.Sleep(time.Duration(rand.IntN(4000)) * time.Microsecond) // a random moment
		i := rand.IntN(len(procs))
		if err := procs[i].Kill(); err != nil {
			t.Fatal(err)
		}
		killed, before := time.Now(), total()
		if i < stormPutters {
			killedPutters++
		} else {
			killedGetters++
		}
		if err := procs[i].Join(ctx); ctx.Err() != nil {
			t.Fatalf("join of a killed process: %v", err)
		}
		// The queue has recovered when as many messages as its capacity have been put, whatever the
		// dead process held.
		others := 0
		for j, p := range procs[:stormPutters] {
			if j != i && p.Alive() {
				others++
			}
		}
		for others > 0 && total() < before+stormCapacity {
			if ctx.Err() != nil {
				t.Fatalf("stuck after the death of %s: Len %d, put %d", procs[i].Name(), queue.Len(), total())
			}
			if allEnded(procs[:stormPutters], i) {
				others = 0
			}
			time.Sleep(10 * time.Microsecond)
		}
		if others > 0 {
			recovery = append(recovery, time.Since(killed))
		}
		procs[i] = start(tasks[i])
		// Replace a putter that has put all its messages, too.
		for j := range stormPutters {
			if !procs[j].Alive() {
				procs[j] = start(tasks[j])
			}
			if life >= stormLives-2 {
				break
			}
		}
		if life >= stormLives-2 {
			break
		}
	}

	book.stop.Store(1)
	for _, p := range procs[:stormPutters] {
		if err := p.Join(ctx); err != nil {
			t.Fatalf("putter at the end: %v (Len %d)", err, queue.Len())
		}
	}
	if err := queue.Shutdown(); err != nil {
		t.Fatal(err)
	}
	for _, p := range procs[stormPutters:] {
		if err := p.Join(ctx); err != nil {
			t.Fatalf("getter at the end: %v (Len %d)", err, queue.Len())
		}
	}
	if n := queue.Len(); n != 0 {
		t.Errorf("Len is %d at the end, want 0", n)
	}

	messages, missing, extra, doubled := book.account(life)
	t.Logf("%d messages, killed %d putters and %d getters: %d missing, %d extra, %d doubled, %d out of order",
		messages, killedPutters, killedGetters, missing, extra, doubled, book.disorder.Load())
	if missing > killedGetters || extra > killedPutters || doubled > 0 {
		t.Errorf("more than one message missing or extra for each process killed")
	}
	// Each killed getter may have held one message, which then comes late.
	if int(book.disorder.Load()) > killedGetters {
		t.Errorf("%d messages out of order with %d getters killed", book.disorder.Load(), killedGetters)
	}
	slices.Sort(recovery)
	if len(recovery) > 0 {
		t.Logf("from the kill until %d messages had gone through: median %v, 95%% %v, maximum %v of %d",
			stormCapacity, recovery[len(recovery)/2], recovery[len(recovery)*95/100], recovery[len(recovery)-1], len(recovery))
	}
}

// allEnded reports whether every process but procs[but] has ended.
func allEnded(procs []*proc.Process, but int) bool {
	for i, p := range procs {
		if i != but && p.Alive() {
			return false
		}
	}
	return true
}
