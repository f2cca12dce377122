package proc

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-2e7ecdea/mp/shm"
)

// A crew is the engine of a pool whose workers are children of this process.
type crew struct {
	options PoolOptions
	segment *shm.Segment    // of the workers' pipes
	ctx     context.Context // done when the pool is terminated or broken
	cancel  context.CancelFunc

	windows atomic.Int64 // of all workers, together; changed by who holds mu

	mu           sync.Mutex
	size         int // workers that there should be
	workers      []*worker
	numbers      int                // workers that were ever made
	pending      fifo[*batch]       // batches that no worker has, oldest first
	keys         map[string]*worker // the worker to which a key's calls go
	state        poolState
	err          error         // why the pool takes no more calls
	ended        chan struct{} // closed when the pool takes no more calls and has no worker
	failures     int           // workers in a row that ended before they finished a call
	initFailures int           // workers in a row that ended before they were ready
	stats        PoolStats
	message      []byte // of the last call by Apply: the next one is put into its memory
}

type poolState int

const (
	poolOpen     poolState = iota
	poolDraining           // Close was called: no new calls
	poolEnded              // terminated or broken: no calls at all
)

const (
	defaultGrace    = 200 * time.Millisecond
	maxInitFailures = 3
	firstBackoff    = 10 * time.Millisecond
	maxBackoff      = 5 * time.Second
)

// newCrew starts that many workers. If it fails, no worker is left.
func newCrew(workers int, o PoolOptions) (*crew, error) {
	p := &crew{size: workers, options: o, keys: make(map[string]*worker), ended: make(chan struct{})}
	if p.options.Init.err != nil {
		return nil, fmt.Errorf("option Init: %w", p.options.Init.err)
	}
	if p.options.Command != nil && (p.options.Process != nil || p.options.Init.task != "") {
		return nil, fmt.Errorf("options Process and Init are not for workers of option Command: %w", errors.ErrUnsupported)
	}
	if p.options.Grace == 0 {
		p.options.Grace = defaultGrace
	}
	p.stats.Lost = make(map[string]int)
	size := 0 // as many pipes as there may be workers
	if math.MaxInt == math.MaxInt32 {
		size = 32<<20 + workers<<21 // addresses are few; a worker that is replaced leaves its pipe's memory to the next
	}
	segment, err := shm.Anonymous(size, nil)
	if err != nil {
		return nil, err
	}
	p.segment = segment
	p.ctx, p.cancel = context.WithCancel(context.Background())
	for range workers {
		w := p.add()
		if err := w.start(); err != nil {
			p.fail(err)
			w.leave(err)
			<-p.ended
			return nil, err
		}
	}
	return p, nil
}

// add makes a worker that is not started yet.
func (p *crew) add() *worker {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.addLocked()
}

func (p *crew) addLocked() *worker {
	p.numbers++
	w := newWorker(p, p.numbers)
	p.workers = append(p.workers, w)
	p.windows.Add(int64(w.window))
	return w
}

// count implements engine.
func (p *crew) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.size
}

// chunk implements engine.
func (p *crew) chunk(each time.Duration) int { return min(int(chunkTime/max(each, 1)), maxChunk) }

// local implements engine.
func (p *crew) local() bool { return true }

// resize implements engine.
func (p *crew) resize(workers int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state != poolOpen {
		return p.err
	}
	p.size = workers
	for _, w := range p.workers[min(workers, len(p.workers)):] {
		w.retiring = true
	}
	p.refill()
	p.wakeAll()
	return nil
}

// drain implements engine: the workers end when there is nothing left to do.
func (p *crew) drain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == poolOpen {
		p.state, p.err = poolDraining, ErrPoolClosed
		p.wakeAll()
		p.endIfEmpty()
	}
}

// gone implements engine.
func (p *crew) gone() <-chan struct{} { return p.ended }

// fail implements engine: the workers are killed.
func (p *crew) fail(err error) {
	p.mu.Lock()
	if p.state == poolEnded {
		p.mu.Unlock()
		return
	}
	p.state, p.err = poolEnded, err
	batches := p.pending.list
	p.pending = fifo[*batch]{}
	workers := slices.Clone(p.workers)
	p.wakeAll()
	p.endIfEmpty()
	p.mu.Unlock()
	p.cancel()
	for _, w := range workers {
		w.kill()
	}
	for _, b := range batches {
		b.failAll(err)
	}
}

// endIfEmpty closes ended if the pool takes no more calls and has no worker. The caller holds mu.
func (p *crew) endIfEmpty() {
	if p.state == poolOpen || len(p.workers) != 0 {
		return
	}
	select {
	case <-p.ended:
	default:
		p.cancel()
		p.segment.Close() // it has no memory but that of the workers' pipes
		close(p.ended)
	}
}

// refusal returns the error of a call that the pool does not take any more. The caller holds mu.
func (p *crew) refusal(op string) error { return fmt.Errorf("proc: %s: %w", op, p.err) }

// submit implements engine.
func (p *crew) submit(op string, b *batch) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state != poolOpen {
		return p.refusal(op)
	}
	p.stats.Submitted += b.n
	p.put(b, false)
	return nil
}

// put makes b wait for a worker, before all others if it was with a worker already. The caller
// holds mu.
func (p *crew) put(b *batch, again bool) {
	if w := p.keys[b.key]; b.key != "" && w != nil {
		w.give(b, again)
		return
	}
	// A batch whose worker was lost goes before all others, so that calls of a key keep their
	// order.
	if again {
		p.pending.pushFront(b)
	} else {
		p.pending.push(b)
	}
	var best *worker
	for _, w := range p.workers {
		if w.idle && (best == nil || len(w.has.list) < len(best.has.list)) {
			best = w
		}
	}
	if best != nil {
		best.idle = false
		best.wake.Signal()
	}
}

// take returns the oldest batch that w may run, or nil. The caller holds mu.
//
// A worker that is retiring takes nothing, not even what only it may run: that goes to another
// worker when this one has ended, so that two workers never run calls of one key at the same time.
func (p *crew) take(w *worker) *batch {
	if w.retiring {
		return nil
	}
	if len(w.own.list) != 0 {
		return w.own.pop()
	}
	for len(p.pending.list) != 0 {
		b := p.pending.pop()
		if b.key != "" {
			if other := p.keys[b.key]; other != nil && other != w {
				other.give(b, false)
				continue
			}
			p.bind(w, b.key)
		}
		return b
	}
	return nil
}

// bind makes the calls with that key go to w, those that wait already first. The caller holds mu.
func (p *crew) bind(w *worker, key string) {
	p.keys[key] = w
	w.keys = append(w.keys, key)
	p.pending.list = slices.DeleteFunc(p.pending.list, func(b *batch) bool {
		if b.key == key {
			w.own.push(b)
		}
		return b.key == key
	})
}

// withdraw takes b back if no worker has it. The caller holds mu.
func (p *crew) withdraw(b *batch) bool {
	if i := slices.Index(p.pending.list, b); i >= 0 {
		p.pending.list = slices.Delete(p.pending.list, i, i+1)
		return true
	}
	for _, w := range p.workers {
		if i := slices.Index(w.own.list, b); i >= 0 {
			w.own.list = slices.Delete(w.own.list, i, i+1)
			return true
		}
	}
	return false
}

// stop implements engine.
func (p *crew) stop(b *batch, err error, gently bool) {
	p.mu.Lock()
	var withdrawn []*batch
	for ; b != nil; b = b.rest {
		switch {
		case b.stopped != nil:
			continue
		case p.withdraw(b):
			withdrawn = append(withdrawn, b)
		case b.worker != nil:
			b.worker.stop(b, gently)
		}
		b.stopped = err
	}
	p.mu.Unlock()
	for _, b := range withdrawn {
		b.failAll(err)
	}
}

// refill starts workers until there are as many as there should be. The caller holds mu.
func (p *crew) refill() {
	if p.state == poolEnded || p.state == poolDraining && len(p.pending.list) == 0 {
		return
	}
	there := 0
	for _, w := range p.workers {
		if !w.retiring {
			there++
		}
	}
	for range p.size - there {
		p.stats.Started++
		go p.addLocked().restart(p.backoff())
	}
}

// backoff returns how long to wait before a worker is started. The caller holds mu.
func (p *crew) backoff() time.Duration {
	if p.failures == 0 {
		return 0
	}
	return min(firstBackoff<<min(p.failures-1, 20), maxBackoff)
}

// wakeAll makes all workers look for what has changed. The caller holds mu.
func (p *crew) wakeAll() {
	for _, w := range p.workers {
		w.idle = false
		w.wake.Signal()
	}
}

// remove forgets w, which has ended. The batches that only it might run go to other workers. The caller
// holds mu.
func (p *crew) remove(w *worker) {
	if i := slices.Index(p.workers, w); i >= 0 {
		p.workers = slices.Delete(p.workers, i, i+1)
		p.windows.Add(int64(-w.window))
	}
	for _, key := range w.keys {
		delete(p.keys, key)
	}
	for _, b := range slices.Backward(w.own.list) {
		p.put(b, true)
	}
	w.own = fifo[*batch]{}
}
