package proc

import (
	"context"
	"fmt"
	"runtime"
	"time"
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
	engine  engine
	timeout time.Duration // PoolOptions.Timeout
	retries int           // PoolOptions.Retries
}

// An engine runs the calls of a pool: a crew, or a far. Its methods may be called by any number of
// goroutines at once.
type engine interface {
	// submit takes b: each of its calls gets an answer. It fails with ErrPoolClosed or ErrInit.
	submit(op string, b *batch) error
	// call is submit, unless a worker has nothing to do. Then it sends b to that worker and returns
	// it: the caller must call its lead.
	call(op string, b *batch) (leads *worker, err error)
	// stop ends b: a part that no worker has fails with err, and the context of a task that runs ends.
	// A task that does not return then is killed with its worker, unless gently is true.
	stop(b *batch, err error, gently bool)
	// room returns how many batches the engine can use at a time.
	room() int
	// chunk returns how many calls a batch should have if each takes that long.
	chunk(each time.Duration) int
	// local reports whether the workers are on this machine: arguments may hold objects, and calls keys.
	local() bool

	count() int               // workers that there should be
	resize(workers int) error // it fails with ErrPoolClosed or errors.ErrUnsupported
	drain()                   // it takes no more calls, and ends when all have an answer
	fail(err error)           // all calls without an answer fail with err, and the engine ends
	gone() <-chan struct{}    // closed when it has ended
	snapshot() PoolStats
}

// PoolOptions are options for NewPool. A nil *PoolOptions means the defaults.
type PoolOptions struct {
	// Process are the options of the worker processes: how they start, their limit of memory, and so
	// on. The default Name is "worker-" with a number.
	Process *Options

	// Command makes the programs that are the pool's workers, in place of processes of this program.
	// It is called for each worker, by any goroutine, and returns a new Cmd each time. The program
	// must serve the pipe that it gets by the name "pool": serve in clients/python/mp.py and mp_serve in
	// clients/c/mp.h do that, and docs/design/clients.md describes the messages. Its tasks are those of
	// ForeignTask. With Command, Process and Init must not be set. A context that ends does not reach a
	// call: its worker is killed after Grace.
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
	if o == nil {
		o = &PoolOptions{}
	}
	c, err := newCrew(workers, *o)
	if err != nil {
		return nil, fmt.Errorf("proc: NewPool: %w", err)
	}
	return &Pool{engine: c, timeout: o.Timeout, retries: o.Retries}, nil
}

// Workers returns the number of workers that the pool has or is about to start.
func (p *Pool) Workers() int { return p.engine.count() }

// Resize changes the number of workers. Surplus workers end when they have finished the calls that
// they have. New workers start in the background. It fails with ErrPoolClosed.
func (p *Pool) Resize(workers int) error {
	err := errNegative
	if workers > 0 {
		err = p.engine.resize(workers)
	}
	if err != nil {
		return fmt.Errorf("proc: Pool.Resize to %d workers: %w", workers, err)
	}
	return nil
}

// Close lets the workers finish all calls that were submitted, ends them, and waits until they have
// ended. Further calls fail with ErrPoolClosed. Close may be called more than once. A goroutine
// that must not wait for ever calls Terminate, or Join with a context and then Terminate.
func (p *Pool) Close() error {
	p.engine.drain()
	<-p.engine.gone()
	return nil
}

// Join closes the pool as Close does, but stops waiting when ctx is done. It then returns ctx's
// error, and the pool goes on to finish its calls.
func (p *Pool) Join(ctx context.Context) error {
	p.engine.drain()
	select {
	case <-p.engine.gone():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("proc: Pool.Join: %w", ctx.Err())
	}
}

// Terminate kills all workers at once. Calls that have no result yet fail with ErrPoolClosed.
// Terminate does not wait for anything but the end of the worker processes. It may be called more
// than once, and also by a callback.
func (p *Pool) Terminate() error {
	p.engine.fail(ErrPoolClosed)
	<-p.engine.gone()
	return nil
}

// Stats returns what the pool has done so far.
func (p *Pool) Stats() PoolStats { return p.engine.snapshot() }

// setOptions gives b the options o, which may be nil.
func (p *Pool) setOptions(b *batch, o *CallOptions) {
	b.timeout, b.retries = p.timeout, p.retries
	if o == nil {
		return
	}
	b.key = o.Key
	if o.Timeout != 0 {
		b.timeout = max(o.Timeout, 0)
	}
	if o.Retries != 0 {
		b.retries = max(o.Retries, 0)
	}
}
