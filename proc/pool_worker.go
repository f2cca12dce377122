package proc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/wait"
	"github.com/seed-2e7ecdea/mp/ring"
)

// A worker is the pool's side of a worker process. Two goroutines serve it while it runs: the
// feeder sends it batches and the collector receives its answers. While it has nothing to do, they
// rest, and Apply sends its call and receives the answer by itself: see crew.call. The worker answers
// the calls in the order in which it got them, so the first call without an answer is the one that it
// runs, and the one that is lost with it.
type worker struct {
	pool   *crew
	number int
	fed    chan struct{} // closed when the feeder has returned
	call   workerProcess
	name   string // of call
	conn   *ring.Conn
	unpark chan struct{} // holds a token if the collector is to look whether it must rest any longer
	begun  atomic.Int64  // when the call that it runs began, by wait.Now; kept up while timed is true
	timed  atomic.Bool   // a call has a timeout

	// These belong to the goroutine that receives answers: the collector, or one in Apply.
	answers inlet
	front   *batch // that is being answered, or nil
	at      int    // the first call of front without an answer
	fresh   int    // answers that were delivered since front.next moved
	objects bool   // a result of it has objects
	calm    bool   // the worker may have nothing to do since the last answer

	// The pool's mutex guards the rest.
	wake     sync.Cond     // the feeder sleeps here
	idle     bool          // the feeder sleeps and has nothing to do
	retiring bool          // it gets no calls any more
	killed   bool          // kill was called
	reason   string        // why, if it was for a task that did not return
	leaving  bool          // it begins no other call
	gone     bool          // it has ended
	ready    bool          // it is initialized
	initErr  error         // why it is not
	has      fifo[*batch]  // the batches that it has and has not answered, oldest first
	own      fifo[*batch]  // the batches that only it may run
	keys     []string      // the keys whose calls go to it
	stops    [][]byte      // messages to be sent before the next batch
	sent     uint64        // batches
	calls    int           // calls in them
	done     int           // calls answered
	window   int           // batches that it may have
	asked    bool          // it is asked to give a batch back
	last     time.Duration // when it finished a batch, by wait.Now
	pace     time.Duration // mean time that a batch took lately
	armed    bool          // the timer of timeouts runs
	timer    *time.Timer   // of timeouts; nil: it never ran
	parked   bool          // the collector rests
	led      bool          // a goroutine in Apply receives the answers
	ending   bool          // the process has ended, or is killed with its pool
	over     bool          // there are no more answers
}

const (
	minWindow  = 1    // one that runs
	maxWindow  = 512  // batches that a worker may have if each takes next to no time
	fullWindow = 4096 // calls in them
	fewBatches = 4    // batches that it may have however many calls they have
)

func newWorker(p *crew, number int) *worker {
	w := &worker{pool: p, number: number, fed: make(chan struct{}), unpark: make(chan struct{}, 1), window: minWindow}
	w.wake.L = &p.mu
	return w
}

// restart starts w after delay, in the background. If that fails, the pool tries again with another
// worker.
func (w *worker) restart(delay time.Duration) {
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-w.pool.ctx.Done():
		}
	}
	if err := w.start(); err != nil {
		w.leave(fmt.Errorf("start a worker: %w", err))
	}
}

// start starts the worker process.
func (w *worker) start() error {
	err := w.pool.ctx.Err()
	if err == nil {
		err = w.startProcess()
	}
	if err != nil {
		return err
	}
	w.pool.mu.Lock()
	killed := w.killed
	w.pool.mu.Unlock()
	if killed {
		_ = w.call.Kill() // it may have ended
	}
	go w.feed()
	go w.collect()
	return nil
}

func (w *worker) startProcess() error {
	p := w.pool
	ours, theirs, err := ring.NewPipe(p.segment, "", &ring.PipeOptions{Capacity: workerRing})
	if err != nil {
		return err
	}
	name := "worker-" + strconv.Itoa(w.number)
	var call workerProcess
	if p.options.Command != nil {
		call, err = w.startCommand(name, theirs)
	} else {
		call, err = w.startTask(name, theirs)
	}
	if err != nil {
		return errors.Join(err, theirs.Close(), ours.Close())
	}
	if w.inside() { // the goroutine opens that end some time after its start
		go func() {
			<-call.Done()
			theirs.Close()
		}()
	} else { // a process holds it from its start on
		theirs.Close()
	}
	p.mu.Lock()
	w.call, w.conn, w.answers.conn, w.name = call, ours, ours, call.Name()
	p.mu.Unlock()
	return nil
}

// inside reports whether the worker is a goroutine of this process.
func (w *worker) inside() bool {
	o := w.pool.options.Process
	return o != nil && o.Method == InProcess
}

// startTask starts a process of this program as the worker. It gets the pipe's end theirs.
func (w *worker) startTask(name string, theirs *ring.Conn) (workerProcess, error) {
	p := w.pool
	o := Options{}
	if p.options.Process != nil {
		o = *p.options.Process
	}
	if o.Name == "" {
		o.Name = name
	}
	in := workerInput{
		Conn: theirs, Init: p.options.Init.task, Input: p.options.Init.input, Inside: w.inside(),
	}
	call, err := poolWorker.New(in, &o)
	if err == nil {
		call.seen = append(call.seen, p.options.Init.seen...)
		err = call.Process.Start(p.ctx)
	}
	return call, err
}

const (
	workerRing = 1 << 18         // size of the ring of a worker's pipe
	maxMessage = workerRing >> 3 // a message that is longer gets no further batch
)

// give makes b wait for w, before all others if w had it already. The caller holds the pool's mutex.
func (w *worker) give(b *batch, again bool) {
	if again {
		w.own.pushFront(b)
	} else {
		w.own.push(b)
	}
	w.idle = false
	w.wake.Signal()
}

// feed sends the worker what it is to do, until it has ended or is to end.
func (w *worker) feed() {
	defer close(w.fed)
	var msg []byte
	for {
		var ok bool
		msg, ok = w.next(msg[:0])
		if err := w.conn.Send(context.Background(), msg); err != nil || !ok {
			return // if it failed, the worker is dead, and the collector sees to the rest
		}
		if cap(msg) > workerRing {
			msg = nil
		}
	}
}

// next waits until there is something to send, and appends the message to msg. ok is false if it is
// the last one.
func (w *worker) next(msg []byte) (_ []byte, ok bool) {
	p := w.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case w.gone:
			return append(msg, messageQuit), false
		case len(w.stops) != 0:
			msg = append(msg, w.stops[0]...)
			w.stops = w.stops[1:]
			return msg, true
		case w.hungry():
			if msg := w.serve(msg); len(msg) > 0 {
				return msg, true
			}
			w.idle = !w.retiring
			if len(w.has.list) != 0 {
				break
			}
			if w.retiring || p.state != poolOpen {
				w.retiring = true
				w.rouse()
				return append(msg, messageQuit), false
			}
			p.relieve(w)
		}
		w.wake.Wait()
		w.idle = false
	}
}

// hungry reports whether the worker is to get batches. It gets several at a time, so that neither
// the feeder nor the worker need wake up for each. The caller holds the pool's mutex.
func (w *worker) hungry() bool { return w.window-len(w.has.list) > w.window/4 }

// serve appends a message with batches for the worker to msg, and nothing if there are none. The
// caller holds the pool's mutex.
func (w *worker) serve(msg []byte) []byte {
	now := wait.Now()
	if len(w.has.list) > 0 && w.ran(now) > relieveAfter {
		return msg // what would wait behind such a call is for the others
	}
	for len(w.has.list) < w.window && len(msg) < maxMessage {
		if len(w.has.list) > 0 && w.pool.hasFree() {
			break // the free one is to take it
		}
		b := w.pool.take(w)
		if b == nil {
			break
		}
		w.begin(b, now)
		if len(msg) == 0 {
			msg = append(msg, messageBatch)
		}
		msg = b.append(msg)
	}
	// The end of a timeout is reckoned from the last answer, so each answer must wake the pool then.
	if len(msg) > 0 && !w.timed.Load() && w.pool.options.Command == nil {
		msg[0] = messageBrief
	}
	return msg
}

// begin notes that the worker gets b now. The caller holds the pool's mutex.
func (w *worker) begin(b *batch, now time.Duration) {
	p := w.pool
	if limit := p.options.MaxTasks; limit > 0 {
		if left := limit - w.calls; b.n > left {
			p.put(b.split(left), true)
		}
		if w.calls+b.n >= limit {
			w.retiring = true
			p.refill()
		}
	}
	if len(w.has.list) == 0 {
		w.begun.Store(int64(now))
	}
	b.worker, b.number, b.sent = w, w.sent, now
	w.has.push(b)
	w.rouse()
	w.sent++
	w.calls += b.n
	if b.timeout > 0 {
		w.timed.Store(true)
		w.arm(b.timeout)
	}
}

// collect delivers the worker's answers until it has ended.
func (w *worker) collect() {
	for w.attend() && w.receive() {
	}
	if w.front != nil {
		w.settle(w.front)
	}
	// A worker that has closed its end of the pipe is about to exit, unless something keeps it.
	ctx, cancel := context.WithTimeout(context.Background(), exitTime)
	defer cancel()
	select {
	case <-w.call.Done():
	case <-w.pool.ctx.Done():
	case <-ctx.Done():
	}
	if !w.call.ended() {
		w.kill()
	}
	w.leave(w.call.Join(context.Background()))
}

// exitTime is how long a worker that has closed its pipe may take to exit.
const exitTime = time.Second

// receive receives an answer and delivers it. It reports false if there is none any more.
func (w *worker) receive() bool {
	answer, err := w.answers.receive(w.pool.ctx)
	if err != nil || len(answer) == 0 {
		return false
	}
	if answer[0] == answerBack {
		if w.front != nil {
			w.settle(w.front)
		}
		w.front, w.calm = nil, true // it may be one of those that the worker has given back
		w.gaveBack(answer)
		return true
	}
	if w.front == nil {
		b := w.frontOf(answer)
		w.calm = b == nil
		if w.calm {
			return true
		}
		w.turnTo(b)
	}
	if next, last := w.answered(w.front, answer); last {
		w.turnTo(next)
	}
	return true
}

// turnTo makes b, which may be nil, the batch that is being answered.
func (w *worker) turnTo(b *batch) {
	w.front = b
	if b == nil {
		return
	}
	if w.at = int(b.next.Load()); w.at == 0 {
		w.objects = false // a worker may have given back, against the rules, a batch that it had begun to answer
	}
}

// frontOf returns the batch to which an answer belongs. It is nil if the answer is not that of a
// call.
func (w *worker) frontOf(answer []byte) *batch {
	if answer[0] == answerReady {
		w.call.countKills() // Init may have moved it to another cgroup
	}
	w.pool.mu.Lock()
	defer w.pool.mu.Unlock()
	switch {
	case len(w.has.list) != 0 && w.ready:
		return w.has.list[0]
	case answer[0] == answerReady:
		w.ready = true
		w.begun.Store(int64(wait.Now())) // only now it can begin the call that it has got
	case answer[0] == answerError:
		w.initErr = decodeError(w.call.Name(), answer[1:])
	}
	return nil
}

// answered delivers the answer to the first call of b without one. It reports whether that was the
// last one, and returns the batch that is to be answered next then, or nil if the worker has no other.
func (w *worker) answered(b *batch, answer []byte) (next *batch, last bool) {
	i := w.at
	var err error
	if answer[0] == answerObjects {
		w.objects = true
	} else if answer[0] != answerResult {
		w.pool.mu.Lock()
		err = b.cause(int64(i))
		w.pool.mu.Unlock()
	}
	if answer[0] == answerLast {
		w.pool.mu.Lock()
		w.leaving = true
		w.pool.mu.Unlock()
	}
	timed := w.timed.Load()
	if timed {
		w.begun.Store(int64(wait.Now()))
	}
	w.at++
	last = w.at == b.n
	if last && !w.objects {
		next = w.finish(b) // before the caller has the result, so that Stats counts the call
	}
	if err != nil {
		b.work.fail(b.first+i, err)
	} else {
		b.work.deliver(b.first+i, w.name, answer)
		w.fresh++
	}
	if last || timed || !w.answers.more() {
		w.settle(b)
	}
	if last && w.objects {
		w.opened(b)
		next = w.finish(b) // not before: from here on the worker may be told to end, and the objects with it
	}
	return next, last
}

// settle makes known how far the answers to b have come. To do so for each answer would take longer
// than to deliver it.
func (w *worker) settle(b *batch) {
	b.next.Store(int64(w.at))
	if n := w.fresh; n > 0 {
		w.fresh = 0
		b.work.delivered(n)
	}
}

// opened lets the worker know that the objects in b's results are open in this process.
func (w *worker) opened(b *batch) {
	w.objects = false
	w.pool.mu.Lock()
	defer w.pool.mu.Unlock()
	w.stops = append(w.stops, binary.AppendUvarint([]byte{messageOpened}, b.number))
	w.wake.Signal()
}

// cause returns the error of a call that was stopped, or nil. The caller holds the pool's mutex.
func (b *batch) cause(i int64) error {
	switch {
	case b.expired == i+1:
		return fmt.Errorf("proc: task %q: it has not returned after %v: %w", b.task, b.timeout, context.DeadlineExceeded)
	case b.stopped != nil:
		return fmt.Errorf("proc: task %q: %w", b.task, b.stopped)
	}
	return nil
}

// finish notes that the worker has answered all of b, its oldest batch. It returns the one that is the
// oldest now, or nil.
func (w *worker) finish(b *batch) (next *batch) {
	p := w.pool
	p.mu.Lock()
	now := wait.Now()
	ran := w.ran(now)
	// Answers may arrive in bursts, so the mean counts.
	if w.pace == 0 {
		w.pace = ran
	} else {
		w.pace += (ran - w.pace) / 8
	}
	took := w.pace
	w.last = now
	b.worker = nil
	w.has.pop()
	w.calm = len(w.has.list) == 0
	if !w.calm {
		next = w.has.list[0]
	}
	w.done += b.n
	p.failures = 0
	p.stats.Done += b.n
	w.setWindow(w.windowFor(took, b.n))
	if w.hungry() && (!w.idle || w.findsWork()) {
		w.wake.Signal()
	}
	p.mu.Unlock()
	b.release()
	b.work.took(took / time.Duration(b.n))
	return next
}

// windowFor returns how many batches the worker may have after one of n calls, if they take that long on
// average. The caller holds the pool's mutex.
func (w *worker) windowFor(took time.Duration, n int) int {
	switch {
	case took < briefBatch:
		return min(2*w.window, maxWindow, max(fewBatches, fullWindow/n))
	case took < longBatch:
		return min(2*w.window, 1+max(1, int(aheadTime/took)))
	}
	return minWindow
}

// setWindow sets how many batches the worker may have. The caller holds the pool's mutex.
func (w *worker) setWindow(n int) {
	if n != w.window {
		w.pool.windows.Add(int64(n - w.window))
		w.window = n
	}
}

// findsWork reports whether the feeder, which sleeps since it found nothing to send, is to look again
// after the worker has finished a batch. The caller holds the pool's mutex.
func (w *worker) findsWork() bool {
	p := w.pool
	if len(p.pending.list) != 0 || len(w.own.list) != 0 {
		return true // which the worker was not to have while its batch took so long
	}
	return len(w.has.list) == 0 && (w.retiring || p.state != poolOpen || slices.ContainsFunc(p.workers, (*worker).hasMore))
}

// hasMore reports whether the worker has a batch that it could give back. The caller holds the pool's
// mutex.
func (w *worker) hasMore() bool { return len(w.has.list) > 1 }

// ran returns how long the worker has had time for its oldest batch. The caller holds the pool's
// mutex.
func (w *worker) ran(now time.Duration) time.Duration {
	return now - max(w.has.list[0].sent, w.last)
}

const (
	briefBatch = 100 * time.Microsecond // a worker may have more batches if each takes less than this
	longBatch  = 10 * time.Millisecond  // and no more than minWindow if each takes longer than this
	aheadTime  = 4 * time.Millisecond   // between these, what waits behind the batch that runs takes so long
)

// arm starts the timer for timeouts, unless it runs. The caller holds the pool's mutex.
func (w *worker) arm(d time.Duration) {
	if !w.armed {
		w.armed = true
		w.timer = time.AfterFunc(d, w.expire)
	}
}

// expire ends the context of the call that the worker runs, if its time is over.
func (w *worker) expire() {
	p := w.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	w.armed = false
	if len(w.has.list) == 0 || w.gone {
		return
	}
	b := w.has.list[0]
	if !w.ready {
		w.arm(max(b.timeout, p.options.Grace)) // it has not begun the call
		return
	}
	if b.timeout == 0 {
		for _, b := range w.has.list {
			if b.timeout > 0 {
				w.arm(b.timeout)
				return
			}
		}
		return
	}
	i := b.next.Load()
	left := b.timeout - (wait.Now() - time.Duration(w.begun.Load()))
	if left > 0 {
		w.arm(left)
		return
	}
	if b.expired == i+1 {
		w.arm(p.options.Grace) // killAfterGrace sees to it
		return
	}
	b.expired = i + 1
	w.send(b, i+1)
	w.killAfterGrace(b, i)
	w.arm(b.timeout)
}

// stop ends the contexts of all calls of b, which w has. The caller holds the pool's mutex.
func (w *worker) stop(b *batch, gently bool) {
	w.send(b, int64(b.n))
	if w.has.list[0] != b { // its calls fail as soon as the worker has given it back, and not when it is its turn
		w.stops = append(w.stops, appendTwo(messageBack, b.number, b.number+1))
	}
	if !gently {
		w.killAfterGrace(b, -1)
	}
}

// send makes the feeder send a message that stops the calls of b before call end.
func (w *worker) send(b *batch, end int64) {
	w.stops = append(w.stops, appendTwo(messageStop, b.number, uint64(end)))
	w.wake.Signal()
}

// killAfterGrace kills the worker if it still runs call i of b after the grace. With -1 it is any
// call of b.
func (w *worker) killAfterGrace(b *batch, i int64) {
	p := w.pool
	time.AfterFunc(p.options.Grace, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		switch {
		case w.gone || b.worker != w:
		case i >= 0 && b.next.Load() != i:
		case w.has.list[0] != b:
			w.killAfterGrace(b, i)
		default:
			w.reason = "stopped"
			if i >= 0 {
				w.reason = "timeout"
			}
			w.killLocked()
		}
	})
}

// kill kills the worker process.
func (w *worker) kill() {
	w.pool.mu.Lock()
	defer w.pool.mu.Unlock()
	w.killLocked()
}

func (w *worker) killLocked() {
	w.killed = true
	if w.call != nil {
		_ = w.call.Kill() // it may have ended
	}
}

// leave sees to what the worker leaves behind. err is what Join returned, or why it could not be
// started.
func (w *worker) leave(err error) {
	p := w.pool
	p.mu.Lock()
	w.gone = true
	w.wake.Signal()
	p.mu.Unlock()
	if w.conn != nil {
		w.conn.Close() // ends a Send of the feeder
		<-w.fed
	}

	p.mu.Lock()
	if w.timer != nil {
		w.timer.Stop() // it would keep the pipe's memory until it is over
	}
	p.remove(w)
	failures := w.inherit(err)
	broken := w.count(err)
	if p.state == poolEnded { // what came back after fail had emptied pending
		for _, b := range p.pending.list {
			failures = append(failures, func() { b.failAll(p.err) })
		}
		p.pending = fifo[*batch]{}
	}
	p.refill()
	p.wakeAll()
	p.endIfEmpty()
	p.mu.Unlock()
	for _, fail := range failures {
		fail()
	}
	if broken != nil {
		p.fail(broken)
	}
}

// inherit gives the calls that the worker has not begun back to the pool, and decides on the one
// that it was running. It returns what is to be called without the pool's mutex, which the caller
// holds.
func (w *worker) inherit(err error) (failures []func()) {
	for i := len(w.has.list) - 1; i >= 0; i-- {
		b := w.has.list[i]
		b.worker = nil
		if i == 0 {
			failures = append(failures, w.lose(b, err)...)
		}
		failures = append(failures, w.handOn(b)...)
	}
	w.has = fifo[*batch]{}
	return failures
}

// lose decides on the call that the worker was running, the first of b without an answer. It leaves
// the others in b.
func (w *worker) lose(b *batch, err error) (failures []func()) {
	p := w.pool
	cause := b.cause(b.next.Load())
	b.expired = 0
	b.cut()
	if b.n == 0 || p.state == poolEnded || b.stopped != nil || !w.ready || w.leaving {
		return nil // the worker has not begun a call of b
	}
	if cause == nil && b.tries < b.retries {
		b.tries++
		p.stats.Retried++
		return nil
	}
	rest := b.split1()
	if cause == nil {
		cause = w.lostError(rest.task, err)
	}
	p.stats.Failed++
	return []func(){func() { rest.work.fail(rest.first, cause) }}
}

// split1 takes the first call out of b and returns it.
func (b *batch) split1() *batch {
	before := b.rest
	rest := b.split(1)
	first := &batch{task: b.task, first: b.first, work: b.work}
	b.data, b.first, b.n, b.tries, b.rest = rest.data, rest.first, rest.n, 0, before
	return first
}

func (w *worker) lostError(task string, err error) *WorkerLostError {
	code, _ := w.call.ExitCode()
	return &WorkerLostError{Task: task, Worker: w.call.Name(), PID: w.call.PID(), ExitCode: code, Memory: errors.Is(err, ErrMemory), Err: err}
}

// count counts the end of the worker. It returns the error that breaks the pool, or nil. The caller
// holds the pool's mutex.
func (w *worker) count(err error) error {
	p := w.pool
	if p.state == poolEnded {
		return nil
	}
	if w.ready && (err == nil || w.retiring) && !w.killed {
		if p.options.MaxTasks > 0 && w.calls >= p.options.MaxTasks {
			p.stats.Replaced++
		}
		return nil
	}
	reason := w.reason
	switch {
	case reason != "":
	case w.call == nil:
		reason = "not started"
	default:
		reason = w.lostError("", err).reason()
	}
	p.stats.Lost[reason]++
	if w.done == 0 {
		p.failures++
	}
	if w.ready {
		p.initFailures = 0
		return nil
	}
	if p.initFailures++; p.initFailures < maxInitFailures {
		return nil
	}
	if w.initErr != nil {
		err = w.initErr
	}
	return fmt.Errorf("%w: %w", ErrInit, err)
}

// A worker that runs a call for longer than this gives the batches behind it to workers that have
// nothing to do.
const relieveAfter = 5 * time.Millisecond

// hasFree reports whether a worker has nothing to do. The caller holds mu.
func (p *crew) hasFree() bool {
	for _, w := range p.workers {
		if w.idle && len(w.has.list) == 0 && w.ready {
			return true
		}
	}
	return false
}

// relieve asks a worker that has more to do than one call for the batches that wait last, since idle
// has nothing to do. The caller holds mu.
func (p *crew) relieve(idle *worker) {
	now := wait.Now()
	for _, w := range p.workers {
		from := w.surplus()
		if from == 0 || w.asked || w.gone {
			continue
		}
		left := relieveAfter - w.ran(now)
		if from > 1 {
			left -= w.pace * time.Duration(from-1) // it is some time until their turn
		}
		if left > 0 {
			time.AfterFunc(left, idle.look)
			continue
		}
		w.asked = true
		w.stops = append(w.stops, appendTwo(messageBack, w.has.list[from].number, w.sent))
		w.wake.Signal()
	}
}

// surplus returns the index of the first batch that the worker is to give back: half of those that
// wait, but none from the last one with a key on. It is 0 if there is none. The caller holds the
// pool's mutex.
func (w *worker) surplus() int {
	from := len(w.has.list)
	for from > 1 && from > (len(w.has.list)+1)/2 && w.has.list[from-1].key == "" {
		from--
	}
	if from == len(w.has.list) {
		return 0
	}
	return from
}

// look makes the feeder look for something to do.
func (w *worker) look() {
	w.pool.mu.Lock()
	defer w.pool.mu.Unlock()
	w.wake.Signal()
}

// gaveBack handles the answer to messageBack.
func (w *worker) gaveBack(answer []byte) {
	for _, fail := range w.takeBack(answer) {
		fail()
	}
}

// takeBack gives the batches that the worker has given back to the pool. It returns what is to be
// called without the pool's mutex.
func (w *worker) takeBack(answer []byte) (failures []func()) {
	p := w.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	w.asked = false
	from, to, err := twoNumbers(answer)
	if err != nil {
		return nil
	}
	for i := len(w.has.list) - 1; i >= 0; i-- { // the worker may have answered all before the first one
		if b := w.has.list[i]; b.number >= from && b.number < to {
			w.has.list = slices.Delete(w.has.list, i, i+1)
			w.calls -= b.n
			failures = append(failures, w.handOn(b)...)
		}
	}
	w.wake.Signal()
	if len(failures) > 0 { // a worker that has nothing to do has got nothing by that
		for _, other := range p.workers {
			other.wake.Signal()
		}
	}
	return failures
}

// handOn gives a batch that the worker has no more back to the pool, or returns what makes its calls
// fail and is to be called without the pool's mutex, which the caller holds.
func (w *worker) handOn(b *batch) (failures []func()) {
	p := w.pool
	b.worker = nil
	switch {
	case p.state == poolEnded:
		return []func(){func() { b.failAll(p.err) }}
	case b.stopped != nil:
		return []func(){func() { b.failAll(b.stopped) }}
	case b.n > 0:
		p.put(b, true)
	}
	return nil
}
