package proc

import "github.com/seed-2e7ecdea/mp/internal/wait"

// A call of Apply that finds a worker with nothing to do needs no other goroutine of the pool's
// process: the caller sends the batch, and receives answers in the collector's place until its own
// is there. Each hand-over to another goroutine would take longer than a short call.
//
//  1. Under the pool's mutex: the feeder sleeps and has nothing to send, the collector is parked, and
//     no other goroutine leads. So nobody else sends to the worker or receives from it. The caller
//     sends the batch, notes that the worker has it, and becomes the leader.
//  2. The leader receives answers until its call has one. It has the same effect as the collector,
//     whatever else the worker is given meanwhile.
//  3. Under the pool's mutex: the leader leaves. If the worker has other calls, or has ended, the
//     collector goes on.
//
// A worker that dies while nobody receives from it is noticed by the end of its process.

// call gives b to the pool as submit does. If a worker has nothing to do, call sends b to it and
// returns the worker: the caller must then call its lead.
func (p *crew) call(op string, b *batch) (leads *worker, err error) {
	var msg []byte
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state != poolOpen {
		return nil, p.refusal(op)
	}
	p.stats.Submitted += b.n
	for _, w := range p.workers {
		if !p.mayHave(w, b) {
			continue
		}
		if msg == nil {
			msg = b.append(append(p.message[:0], messageBatch))
			if p.message = msg; cap(msg) > workerRing {
				p.message = nil
			}
		}
		if w.conn.TrySend(msg) == nil {
			if b.key != "" && p.keys[b.key] == nil {
				p.bind(w, b.key)
			}
			w.led = true
			w.begin(b, wait.Now())
			w.idle = w.idle && !w.retiring
			return w, nil
		}
	}
	p.put(b, false)
	return nil, nil
}

// mayHave reports whether a caller may send b to w by itself, before all batches that wait. The caller
// holds mu.
func (p *crew) mayHave(w *worker, b *batch) bool {
	if !w.idle || !w.parked || w.led || !w.quiet() || len(p.pending.list) != 0 || len(w.own.list) != 0 || len(w.stops) != 0 {
		return false
	}
	bound := p.keys[b.key]
	return b.key == "" || bound == nil || bound == w
}

// lead delivers the worker's answers until done reports true or there are no more.
func (w *worker) lead(done func() bool) {
	more := true
	for more && !done() {
		more = w.receive()
	}
	w.pool.mu.Lock()
	defer w.pool.mu.Unlock()
	w.led = false
	w.over = w.over || !more
	w.rouse()
}

// attend waits until the collector is to receive an answer. It reports false if there are no more
// answers.
func (w *worker) attend() bool {
	if !w.calm {
		return true // as after each answer but the last one that was expected
	}
	p := w.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	ended, terminated := w.call.Done(), p.ctx.Done()
	for !w.over && (w.led || w.quiet()) {
		w.parked = true
		p.mu.Unlock()
		select {
		case <-w.unpark:
		case <-ended:
			ended = nil
		case <-terminated:
			terminated = nil
		}
		p.mu.Lock()
		w.ending = ended == nil || terminated == nil
	}
	w.parked = false
	return !w.over
}

// quiet reports whether no answer is expected from the worker. The caller holds the pool's mutex.
func (w *worker) quiet() bool {
	return len(w.has.list) == 0 && w.ready && !w.asked && !w.retiring && !w.leaving && !w.ending
}

// rouse makes the collector receive answers, if it is parked and must not be. The caller holds the
// pool's mutex.
func (w *worker) rouse() {
	if w.parked && !w.led && (w.over || !w.quiet()) {
		select {
		case w.unpark <- struct{}{}:
		default: // there is a token
		}
	}
}
