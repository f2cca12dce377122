package proc

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"
)

// MapOptions are options for Map and MapUnordered.
type MapOptions struct {
	CallOptions

	// Chunk is the number of calls that go to a worker at once. The default 0 adapts it to the time
	// that a call takes: calls that take 200 µs or more go one by one.
	Chunk int

	// Progress is called after each chunk with the number of calls that have a result or an error
	// and the number of calls made so far. The input's length is not known in advance; Total, if it
	// is set, is passed in its place. Progress runs on the goroutine of the loop.
	Progress func(done, total int)
	Total    int

	// KeepGoing makes the loop go on after a call that failed. By default the first error ends it.
	KeepGoing bool
}

const (
	chunkTime    = 200 * time.Microsecond // that calls of one chunk take together, if Chunk is 0
	maxChunk     = 512
	aheadPerItem = 2 // batches that are with the pool for each batch that its workers may have
)

// Map runs t for each value of in on the pool's workers, and yields the results in the order of the
// values. It reads in only a little further than the workers have come. A pair with an error, in
// that value's place, ends the loop, unless MapOptions.KeepGoing says otherwise: the errors are
// those of Future.Wait, or that of a value that can't be sent.
//
// When the loop ends early, the calls that no worker has begun are taken back, the contexts of the
// running ones end, and their results are dropped. When ctx is done, the loop ends with ctx's
// error, and a task that does not return within PoolOptions.Grace is killed with its worker.
//
// in is read on the goroutine of the loop. At most one MapOptions may be given; none, or nil, means
// the defaults.
func (t *Task[In, Out]) Map(ctx context.Context, p *Pool, in iter.Seq[In], o ...*MapOptions) iter.Seq2[Out, error] {
	return t.mapping(ctx, p, in, only(o), true)
}

// MapUnordered is Map, but yields each result as soon as it is there.
func (t *Task[In, Out]) MapUnordered(ctx context.Context, p *Pool, in iter.Seq[In], o ...*MapOptions) iter.Seq2[Out, error] {
	return t.mapping(ctx, p, in, only(o), false)
}

func (t *Task[In, Out]) mapping(ctx context.Context, p *Pool, in iter.Seq[In], o *MapOptions, ordered bool) iter.Seq2[Out, error] {
	if o == nil {
		o = &MapOptions{}
	}
	return func(yield func(Out, error) bool) {
		next, stop := iter.Pull(in)
		defer stop()
		m := &mapping[In, Out]{task: t, pool: p, options: o, ordered: ordered, next: next, chunk: max(o.Chunk, 1)}
		m.changed.L = &m.mu
		if ctx.Done() != nil {
			defer context.AfterFunc(ctx, func() { m.interrupt(ctx.Err()) })()
		}
		m.run(yield)
	}
}

// A mapping is one run of Map.
type mapping[In, Out any] struct {
	task    *Task[In, Out]
	pool    *Pool
	options *MapOptions
	ordered bool
	next    func() (In, bool)
	end     bool // in has no more values, or is not read any more
	made    int  // calls
	yielded int  // calls whose results were yielded

	mu      sync.Mutex
	changed sync.Cond
	chunk   int          // calls in the next batch
	open    []*part[Out] // submitted and not yielded, oldest first
	waiting int          // batches of them that have no result
	err     error        // ctx's
}

// A part is the results of one batch.
type part[Out any] struct {
	b       *batch
	coding  *coding[Out]
	results []Out
	errs    []error // nil if there is none
	left    int     // calls without an answer
	owner   interface {
		lock() sync.Locker
		completed()
		adapt(each time.Duration)
	}
}

func (m *mapping[In, Out]) run(yield func(Out, error) bool) {
	defer m.abandon()
	for {
		ready, err := m.await()
		if err != nil {
			var none Out
			yield(none, fmt.Errorf("proc: Map of task %q: %w", m.task.name, err))
			return
		}
		if ready == nil {
			return
		}
		for i, out := range ready.results {
			var err error
			if ready.errs != nil {
				err = ready.errs[i]
			}
			m.yielded++
			if !yield(out, err) || err != nil && !m.options.KeepGoing {
				return
			}
		}
		if m.options.Progress != nil {
			m.options.Progress(m.yielded, max(m.options.Total, m.made))
		}
	}
}

// fill submits batches until the pool has enough of them.
func (m *mapping[In, Out]) fill() {
	for !m.end && m.hasRoom() {
		m.submit()
	}
}

func (m *mapping[In, Out]) hasRoom() bool {
	limit := m.pool.room()
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err == nil && m.waiting < limit && len(m.open) < 4*limit
}

// room returns how many batches the pool can use at a time.
func (p *Pool) room() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := aheadPerItem
	for _, w := range p.workers {
		n += w.window
	}
	return n
}

// submit makes a batch of the next values and gives it to the pool.
func (m *mapping[In, Out]) submit() {
	m.mu.Lock()
	chunk := m.chunk
	m.mu.Unlock()
	part := &part[Out]{owner: m, coding: &m.task.out}
	b := m.pool.newBatch(m.task.name, part, &m.options.CallOptions)
	part.b = b
	var failed error
	for b.n < chunk {
		in, ok := m.next()
		if !ok {
			m.end = true
			break
		}
		argument, _, err := m.task.in.encode(nil, &in)
		if err != nil {
			failed, m.end = fmt.Errorf("proc: Map of task %q: argument %d: %w", m.task.name, m.made, err), !m.options.KeepGoing
			break
		}
		b.data = appendCall(b.data, argument)
		b.n++
		m.made++
	}
	if b.n > 0 {
		part.results, part.left = make([]Out, b.n), b.n
		m.add(part)
		if err := m.pool.submit("Map", b); err != nil {
			m.end = true
			b.failAll(err)
		}
	}
	if failed != nil {
		m.made++
		m.add(failedPart[Out](failed))
	}
}

// failedPart returns a part for a call that could not be made.
func failedPart[Out any](err error) *part[Out] {
	return &part[Out]{results: make([]Out, 1), errs: []error{err}}
}

func (m *mapping[In, Out]) add(p *part[Out]) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open = append(m.open, p)
	if p.left > 0 {
		m.waiting++
	}
}

// await submits batches as there is room for them, until a part can be yielded, and returns that
// part: nil if there is none any more.
func (m *mapping[In, Out]) await() (*part[Out], error) {
	for {
		m.fill()
		if p, done, err := m.take(); done {
			return p, err
		}
	}
}

// take waits until a part can be yielded, and returns it. done is true then, and if there is none
// any more. It is false if another batch may be submitted.
func (m *mapping[In, Out]) take() (p *part[Out], done bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.err == nil && len(m.open) > 0 {
		if i := m.ready(); i >= 0 {
			p := m.open[i]
			m.open = slices.Delete(m.open, i, i+1)
			return p, true, nil
		}
		waiting := m.waiting
		m.changed.Wait()
		if !m.end && m.waiting < waiting {
			return nil, false, nil
		}
	}
	return nil, m.end || m.err != nil, m.err
}

// ready returns the index of a part that can be yielded now, or -1. The caller holds mu.
func (m *mapping[In, Out]) ready() int {
	for i, p := range m.open {
		if p.left == 0 {
			return i
		}
		if m.ordered {
			break
		}
	}
	return -1
}

// interrupt ends the loop with err.
func (m *mapping[In, Out]) interrupt(err error) {
	m.mu.Lock()
	m.err = err
	m.changed.Signal()
	m.mu.Unlock()
}

// abandon stops the calls whose results are not wanted any more.
func (m *mapping[In, Out]) abandon() {
	m.mu.Lock()
	open, err := m.open, m.err
	m.open = nil
	m.mu.Unlock()
	for _, p := range open {
		if p.b != nil {
			m.pool.stop(p.b, context.Canceled, err == nil)
		}
	}
}

func (m *mapping[In, Out]) lock() sync.Locker { return &m.mu }

// completed notes that a part has all its answers. The caller holds mu.
func (m *mapping[In, Out]) completed() {
	m.waiting--
	m.changed.Signal()
}

// adapt sets the size of the next batches by the time that a call took.
func (m *mapping[In, Out]) adapt(each time.Duration) {
	if m.options.Chunk > 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	want := int(chunkTime / max(each, 1))
	m.chunk = max(1, min(want, 2*m.chunk, maxChunk))
}

func (p *part[Out]) deliver(i int, worker string, answer []byte) {
	p.answered(i, readAnswer(p.coding, worker, answer, &p.results[i]))
}

func (p *part[Out]) fail(i int, err error) { p.answered(i, err) }

func (p *part[Out]) answered(i int, err error) {
	l := p.owner.lock()
	l.Lock()
	defer l.Unlock()
	if err != nil {
		if p.errs == nil {
			p.errs = make([]error, len(p.results))
		}
		p.errs[i] = err
	}
	if p.left--; p.left == 0 {
		p.owner.completed()
	}
}

func (p *part[Out]) took(each time.Duration) { p.owner.adapt(each) }
