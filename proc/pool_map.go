package proc

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
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
	maxBatch     = 256 << 10 // bytes of arguments after which a batch gets no other call
	aheadPerItem = 2         // batches that are with the pool for each batch that its workers may have
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
		m := &mapping[In, Out]{task: t, pool: p, options: o, ordered: ordered, yield: yield, print: t.print}
		m.chunk.Store(int64(max(o.Chunk, 1)))
		m.changed.L = &m.mu
		if ctx.Done() != nil {
			defer context.AfterFunc(ctx, func() { m.interrupt(ctx.Err()) })()
		}
		m.run(in)
	}
}

// A mapping is one run of Map.
type mapping[In, Out any] struct {
	task    *Task[In, Out]
	pool    *Pool
	options *MapOptions
	ordered bool
	yield   func(Out, error) bool
	print   func() uint64 // task.print, in memory that all batches share

	// These belong to the goroutine of the loop.
	next    *part[Out]       // being filled, or nil
	size    int              // calls that it will have
	width   int              // bytes of a call in the last batch
	made    int              // calls
	yielded int              // calls whose results were yielded
	over    bool             // nothing more may be yielded
	open    fifo[*part[Out]] // submitted and not yielded, oldest first
	spare   []*part[Out]     // to be used again
	sated   bool             // no batch is submitted until some have a result
	end     bool             // no more values are read

	chunk   atomic.Int64          // calls in the next batch
	waiting atomic.Int64          // batches of open that have no result
	err     atomic.Pointer[error] // ctx's
	asleep  atomic.Bool           // the loop is to be told of what changes
	mu      sync.Mutex
	changed sync.Cond // the loop sleeps here
}

// A part is one batch and its results. Its memory is used again when they were yielded: see recycle.
type part[Out any] struct {
	b       batch
	coding  *coding[Out]
	results []Out
	errs    []error      // nil if there is none
	left    atomic.Int64 // calls without an answer
	owner   owner        // nil: it is only the error of an argument that can't be sent
	objects atomic.Bool  // a result has objects, so that the pool needs the batch after its last answer
	room    []byte       // memory for the arguments

	result [1]Out   // the memory of results, if there is one
	short  [16]byte // the memory of short arguments
}

// An owner is the mapping of a part.
type owner interface {
	lock() sync.Locker
	completed()
	adapt(each time.Duration)
}

// run reads in, and yields the results on the way and after it.
func (m *mapping[In, Out]) run(in iter.Seq[In]) {
	defer m.abandon()
	for v := range in {
		if !m.put(&v) {
			break
		}
	}
	if m.over {
		return
	}
	if m.next != nil && m.next.b.n > 0 {
		m.submit()
	}
	m.end = true
	m.advance()
}

// put makes a call with the argument *v. It returns false if no more values are to be read.
func (m *mapping[In, Out]) put(v *In) bool {
	if m.next == nil {
		m.begin()
	}
	b := &m.next.b
	data, err := m.task.appendCall(m.pool, b.data, v)
	if err != nil {
		return m.refuse(err)
	}
	b.data = data
	b.n++
	m.made++
	if b.n < m.size && len(b.data) < maxBatch {
		return true
	}
	return m.submit() && m.advance()
}

// refuse answers a call whose argument can't be sent with err.
func (m *mapping[In, Out]) refuse(err error) bool {
	if m.next.b.n > 0 && !m.submit() {
		return false
	}
	err = fmt.Errorf("proc: Map of task %q: argument %d: %w", m.task.name, m.made, err)
	m.made++
	m.open.push(&part[Out]{results: make([]Out, 1), errs: []error{err}})
	return m.options.KeepGoing && m.advance()
}

// begin begins a batch.
func (m *mapping[In, Out]) begin() {
	m.size = int(m.chunk.Load())
	var p *part[Out]
	if n := len(m.spare); n > 0 {
		p, m.spare = m.spare[n-1], m.spare[:n-1]
	} else {
		p = &part[Out]{}
		p.room = p.short[:0]
	}
	if need := min(m.size*m.width, maxBatch); need > cap(p.room) {
		p.room = make([]byte, 0, need)
	}
	p.coding, p.owner = &m.task.out, m
	p.b.task, p.b.print, p.b.work, p.b.data = m.task.name, m.print, p, p.room
	m.pool.setOptions(&p.b, &m.options.CallOptions)
	m.next = p
}

// submit gives the batch to the pool. It returns false if the pool takes no more.
func (m *mapping[In, Out]) submit() bool {
	p := m.next
	m.next = nil
	n := p.b.n
	m.width = len(p.b.data)/n + 1
	p.room = p.b.data[:0]
	switch {
	case n <= cap(p.results):
		p.results = p.results[:n]
	case n == 1:
		p.results = p.result[:]
	default:
		p.results = make([]Out, n)
	}
	p.left.Store(int64(n))
	m.open.push(p)
	m.waiting.Add(1)
	if err := m.pool.engine.submit("Map", &p.b); err != nil {
		p.b.failAll(err)
		return false
	}
	return true
}

// recycle uses the memory of a part, whose results were yielded, for one to come, unless somebody may still
// refer to its batch: because a call has failed, a timer may look at it, a result has objects, it was split, or
// it is with other machines. Without that a short call would take the garbage collector longer than all else.
func (m *mapping[In, Out]) recycle(p *part[Out]) {
	if p.owner == nil || p.errs != nil || p.objects.Load() || p.b.timeout > 0 || p.b.rest != nil || p.b.far != nil {
		return
	}
	clear(p.results)
	results, room := p.results[:0], p.room
	if cap(results) > 8*len(p.results) { // chunks have become small
		results = nil
	}
	if cap(room) > keptRoom {
		room = p.short[:0]
	}
	*p = part[Out]{results: results, room: room}
	m.spare = append(m.spare, p)
}

// keptRoom is the most memory for arguments that a part keeps for the next one.
const keptRoom = 4 << 10

// advance yields the results that are there, and waits for more until another batch may be
// submitted, or until all results are yielded if there are no more values. It returns false if the
// loop has ended.
func (m *mapping[In, Out]) advance() bool {
	for !m.over {
		p, err := m.take()
		switch {
		case err != nil:
			var none Out
			m.yield(none, fmt.Errorf("proc: Map of task %q: %w", m.task.name, err))
			m.over = true
		case p == nil:
			return true
		default:
			m.deliver(p)
		}
	}
	return false
}

// deliver yields the results of a part.
func (m *mapping[In, Out]) deliver(p *part[Out]) {
	for i, out := range p.results {
		var err error
		if p.errs != nil {
			err = p.errs[i]
		}
		m.yielded++
		if !m.yield(out, err) || err != nil && !m.options.KeepGoing {
			m.over = true
			return
		}
	}
	m.recycle(p)
	if m.options.Progress != nil {
		m.options.Progress(m.yielded, max(m.options.Total, m.made))
	}
}

// room implements engine.
func (p *crew) room() int { return aheadPerItem + int(p.windows.Load()) }

// take waits until a part can be yielded, and returns it. It returns nil if another batch may be
// submitted, or if there are no more parts and no more values.
func (m *mapping[In, Out]) take() (*part[Out], error) {
	limit := m.pool.engine.room()
	p, found, err := m.look(limit)
	if found {
		return p, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	defer m.asleep.Store(false)
	for {
		m.asleep.Store(true) // before it looks: what changes after that is told
		if p, found, err = m.look(limit); found {
			return p, err
		}
		m.changed.Wait()
	}
}

// look is take if that need not wait. Otherwise it returns false.
func (m *mapping[In, Out]) look(limit int) (*part[Out], bool, error) {
	if err := m.err.Load(); err != nil {
		return nil, true, *err
	}
	if i := m.ready(); i >= 0 {
		return m.removeOpen(i), true, nil
	}
	return nil, m.end && len(m.open.list) == 0 || !m.end && m.hasRoom(limit), nil
}

// removeOpen removes part i from open, and returns it.
func (m *mapping[In, Out]) removeOpen(i int) *part[Out] {
	if i == 0 { // most often: it moves no others, of which there are thousands if calls are short
		return m.open.pop()
	}
	p := m.open.list[i]
	m.open.list = slices.Delete(m.open.list, i, i+1)
	return p
}

// hasRoom reports whether another batch may be submitted. Once there is no room, it wants room for
// several, so that the loop's goroutine need not wake up for each.
func (m *mapping[In, Out]) hasRoom(limit int) bool {
	if m.sated {
		limit -= limit / 8
	}
	m.sated = int(m.waiting.Load()) >= limit || len(m.open.list) >= 4*limit
	return !m.sated
}

// ready returns the index of a part that can be yielded now, or -1.
func (m *mapping[In, Out]) ready() int {
	for i, p := range m.open.list {
		if p.left.Load() == 0 {
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
	m.err.Store(&err)
	m.tell()
}

// tell wakes the loop if it sleeps, so that it looks again.
func (m *mapping[In, Out]) tell() {
	if m.asleep.CompareAndSwap(true, false) {
		m.mu.Lock()
		m.changed.Signal()
		m.mu.Unlock()
	}
}

// abandon stops the calls whose results are not wanted any more.
func (m *mapping[In, Out]) abandon() {
	for _, p := range m.open.list {
		if p.owner != nil {
			m.pool.engine.stop(&p.b, context.Canceled, m.err.Load() == nil)
		}
	}
	m.open, m.spare = fifo[*part[Out]]{}, nil // a call that runs on keeps m
}

func (m *mapping[In, Out]) lock() sync.Locker { return &m.mu }

// completed notes that a part has all its answers.
func (m *mapping[In, Out]) completed() {
	m.waiting.Add(-1)
	m.tell()
}

// adapt sets the size of the next batches by the time that a call took.
func (m *mapping[In, Out]) adapt(each time.Duration) {
	if m.options.Chunk > 0 {
		return
	}
	m.chunk.Store(max(1, min(int64(m.pool.engine.chunk(each)), 2*m.chunk.Load())))
}

func (p *part[Out]) deliver(i int, worker string, answer []byte) {
	if answer[0] == answerObjects {
		p.objects.Store(true)
	}
	if err := readAnswer(p.coding, worker, answer, &p.results[i]); err != nil {
		p.note(i, err)
	}
}

func (p *part[Out]) fail(i int, err error) {
	p.note(i, err)
	p.delivered(1)
}

func (p *part[Out]) delivered(n int) {
	o := p.owner // the loop may recycle p once nothing is left
	if p.left.Add(int64(-n)) == 0 {
		o.completed()
	}
}

// note notes the error of a call.
func (p *part[Out]) note(i int, err error) {
	l := p.owner.lock()
	l.Lock()
	defer l.Unlock()
	if p.errs == nil {
		p.errs = make([]error, len(p.results))
	}
	p.errs[i] = err
}

func (p *part[Out]) took(each time.Duration) { p.owner.adapt(each) }
