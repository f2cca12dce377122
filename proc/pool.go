package proc

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/seed-2e7ecdea/mp/shm"
)

// A Pool is a set of worker processes that run tasks: see Task.Map, Task.Submit and Task.Apply. A
// worker runs one task at a time. Arguments and results travel through pipes in shared memory.
//
// A worker may be killed, crash, or exit at any moment. Then the task that it was running fails
// with *WorkerLostError, or is tried again if PoolOptions.Retries says so. No other task is lost:
// results that the worker had sent are delivered, tasks that it had not begun go to other workers,
// and a new worker takes its place.
//
// All methods may be called by any number of goroutines at once, also by callbacks. A Pool that is
// not used any more must be closed, or its workers live until this process ends.
type Pool struct {
	options PoolOptions
	segment *shm.Segment    // of the workers' pipes
	ctx     context.Context // done when the pool is terminated or broken
	cancel  context.CancelFunc

	mu           sync.Mutex
	size         int // workers that there should be
	workers      []*worker
	numbers      int                // workers that were ever made
	pending      []*batch           // batches that no worker has, oldest first
	keys         map[string]*worker // the worker to which a key's calls go
	state        poolState
	err          error         // why the pool takes no more calls
	ended        chan struct{} // closed when the pool takes no more calls and has no worker
	failures     int           // workers in a row that ended before they finished a call
	initFailures int           // workers in a row that ended before they were ready
	stats        PoolStats
}

type poolState int

const (
	poolOpen     poolState = iota
	poolDraining           // Close was called: no new calls
	poolEnded              // terminated or broken: no calls at all
)

// PoolOptions are options for NewPool. A nil *PoolOptions means the defaults.
type PoolOptions struct {
	// Process are the options of the worker processes: how they start, their limit of memory, and so
	// on. The default Name is "worker-" with a number.
	Process *Options

	// Command makes the programs that are the pool's workers, in place of processes of this program.
	// It is called for each worker, by any goroutine, and returns a new Cmd each time. The program
	// must serve the pipe that it gets by the name "pool": serve in clients/python/mp.py does that,
	// and docs/design/clients.md describes the messages. Its tasks are those of ForeignTask. With
	// Command, Process and Init must not be set. A context that ends does not reach a call: its worker
	// is killed after Grace.
	Command func() *Cmd

	// Init is a job that each worker runs before its first task. If it fails three times in a row,
	// in whatever workers, the pool is broken: all its calls fail with ErrInit.
	Init Job

	// MaxTasks is the number of tasks after which a worker is replaced by a new one. The default 0
	// means no limit.
	MaxTasks int

	// Timeout bounds the time that a task runs. When it is over, the task's context ends. If the
	// task has not returned Grace later, its worker is killed. The call fails with
	// context.DeadlineExceeded. The default 0 means no bound. CallOptions.Timeout replaces it for
	// one call.
	Timeout time.Duration

	// Grace is the time between the end of a task's context and the death of its worker, if the
	// task does not return. The default is 200 ms.
	Grace time.Duration

	// Retries is how many times a call is run again after its worker was lost. The default 0 means
	// that the call fails with *WorkerLostError at once. A task that is tried again may have done a
	// part of its work.
	Retries int
}

const (
	defaultGrace    = 200 * time.Millisecond
	maxInitFailures = 3
	firstBackoff    = 10 * time.Millisecond
	maxBackoff      = 5 * time.Second
)

// NewPool starts a pool of that many workers; 0 means one for each CPU that this process may use.
// It returns when the worker processes exist. It fails as Process.Start does; then no worker is
// left.
func NewPool(workers int, o *PoolOptions) (*Pool, error) {
	if workers < 0 {
		return nil, fmt.Errorf("proc: NewPool of %d workers: %w", workers, errNegative)
	}
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	p := &Pool{size: workers, keys: make(map[string]*worker), ended: make(chan struct{})}
	if o != nil {
		p.options = *o
	}
	if p.options.Init.err != nil {
		return nil, fmt.Errorf("proc: NewPool: option Init: %w", p.options.Init.err)
	}
	if p.options.Command != nil && (p.options.Process != nil || p.options.Init.task != "") {
		return nil, fmt.Errorf("proc: NewPool: options Process and Init are not for workers of option Command: %w", errors.ErrUnsupported)
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
		return nil, fmt.Errorf("proc: NewPool: %w", err)
	}
	p.segment = segment
	p.ctx, p.cancel = context.WithCancel(context.Background())
	for range workers {
		w := p.add()
		if err := w.start(); err != nil {
			p.fail(err)
			w.leave(err)
			<-p.ended
			return nil, fmt.Errorf("proc: NewPool: %w", err)
		}
	}
	return p, nil
}

// add makes a worker that is not started yet.
func (p *Pool) add() *worker {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.addLocked()
}

func (p *Pool) addLocked() *worker {
	p.numbers++
	w := newWorker(p, p.numbers)
	p.workers = append(p.workers, w)
	return w
}

// Workers returns the number of workers that the pool has or is about to start.
func (p *Pool) Workers() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.size
}

// Resize changes the number of workers. Surplus workers end when they have finished the calls that
// they have. New workers start in the background. It fails with ErrPoolClosed.
func (p *Pool) Resize(workers int) error {
	if workers < 1 {
		return fmt.Errorf("proc: Pool.Resize to %d workers: %w", workers, errNegative)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state != poolOpen {
		return p.refusal("Resize")
	}
	p.size = workers
	for _, w := range p.workers[min(workers, len(p.workers)):] {
		w.retiring = true
	}
	p.refill()
	p.wakeAll()
	return nil
}

// Close lets the workers finish all calls that were submitted, ends them, and waits until they have
// ended. Further calls fail with ErrPoolClosed. Close may be called more than once. A goroutine
// that must not wait for ever calls Terminate, or Join with a context and then Terminate.
func (p *Pool) Close() error {
	p.drain()
	<-p.ended
	return nil
}

// drain makes the pool take no more calls, and its workers end when there is nothing left to do.
func (p *Pool) drain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == poolOpen {
		p.state, p.err = poolDraining, ErrPoolClosed
		p.wakeAll()
		p.endIfEmpty()
	}
}

// Terminate kills all workers at once. Calls that have no result yet fail with ErrPoolClosed.
// Terminate does not wait for anything but the end of the worker processes. It may be called more
// than once, and also by a callback.
func (p *Pool) Terminate() error {
	p.fail(ErrPoolClosed)
	<-p.ended
	return nil
}

// Join closes the pool as Close does, but stops waiting when ctx is done. It then returns ctx's
// error, and the pool goes on to finish its calls.
func (p *Pool) Join(ctx context.Context) error {
	p.drain()
	select {
	case <-p.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("proc: Pool.Join: %w", ctx.Err())
	}
}

// fail ends the pool: all calls fail with err, and the workers are killed.
func (p *Pool) fail(err error) {
	p.mu.Lock()
	if p.state == poolEnded {
		p.mu.Unlock()
		return
	}
	p.state, p.err = poolEnded, err
	batches := p.pending
	p.pending = nil
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
func (p *Pool) endIfEmpty() {
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
func (p *Pool) refusal(op string) error { return fmt.Errorf("proc: %s: %w", op, p.err) }

// submit gives b to the pool. The caller waits for b's work.
func (p *Pool) submit(op string, b *batch) error {
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
func (p *Pool) put(b *batch, again bool) {
	if w := p.keys[b.key]; b.key != "" && w != nil {
		w.give(b, again)
		return
	}
	// A batch whose worker was lost goes before all others, so that calls of a key keep their
	// order.
	if again {
		p.pending = slices.Insert(p.pending, 0, b)
	} else {
		p.pending = append(p.pending, b)
	}
	var best *worker
	for _, w := range p.workers {
		if w.idle && (best == nil || len(w.has) < len(best.has)) {
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
func (p *Pool) take(w *worker) *batch {
	if w.retiring {
		return nil
	}
	if len(w.own) != 0 {
		b := w.own[0]
		w.own = w.own[1:]
		return b
	}
	for len(p.pending) != 0 {
		b := p.pending[0]
		p.pending[0] = nil
		p.pending = p.pending[1:]
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
func (p *Pool) bind(w *worker, key string) {
	p.keys[key] = w
	w.keys = append(w.keys, key)
	p.pending = slices.DeleteFunc(p.pending, func(b *batch) bool {
		if b.key == key {
			w.own = append(w.own, b)
		}
		return b.key == key
	})
}

// withdraw takes b back if no worker has it. The caller holds mu.
func (p *Pool) withdraw(b *batch) bool {
	if i := slices.Index(p.pending, b); i >= 0 {
		p.pending = slices.Delete(p.pending, i, i+1)
		return true
	}
	for _, w := range p.workers {
		if i := slices.Index(w.own, b); i >= 0 {
			w.own = slices.Delete(w.own, i, i+1)
			return true
		}
	}
	return false
}

// stop ends b: a part that no worker has fails with err, and the context of a task that runs ends.
// A task that does not return then is killed with its worker, unless gently is true.
func (p *Pool) stop(b *batch, err error, gently bool) {
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
func (p *Pool) refill() {
	if p.state == poolEnded || p.state == poolDraining && len(p.pending) == 0 {
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
func (p *Pool) backoff() time.Duration {
	if p.failures == 0 {
		return 0
	}
	return min(firstBackoff<<min(p.failures-1, 20), maxBackoff)
}

// wakeAll makes all workers look for what has changed. The caller holds mu.
func (p *Pool) wakeAll() {
	for _, w := range p.workers {
		w.idle = false
		w.wake.Signal()
	}
}

// remove forgets w, which has ended. What it had and had not begun goes to other workers. It
// returns the batch whose call was lost with w, or nil. The caller holds mu.
func (p *Pool) remove(w *worker) {
	if i := slices.Index(p.workers, w); i >= 0 {
		p.workers = slices.Delete(p.workers, i, i+1)
	}
	for _, key := range w.keys {
		delete(p.keys, key)
	}
	for _, b := range slices.Backward(w.own) {
		p.put(b, true)
	}
	w.own = nil
}
