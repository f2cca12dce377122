package ring

import (
	"context"
	"runtime"
	"slices"
)

// Batches of encoded values go in runs, as others do: see queue_batch.go. A run of puts consists of messages
// that lie in their slots. A longer message is put by itself.
//
// A run of gets is decoded after its slots were given back. If code of the program decodes, it may
// panic or take long, so that values are got one by one then. So they are in a joinable queue.

// putMany is the method op, which puts vs. It does not block if ctx is tryOnce.
func (e *encoded[T]) putMany(ctx context.Context, op string, vs []T) (n int, err error) {
	k := e.open()
	if k == nil {
		return 0, closed(op)
	}
	buf := buffers.Get().(*[]byte)
	defer putBuffer(buf)
	var run [maxRun][]byte
	for n < len(vs) && err == nil {
		msgs, failed := e.encodeRun(buf, vs[n:], &run)
		var put int
		put, err = e.putMessages(ctx, k, msgs)
		n += put
		if err == nil {
			err = failed
		}
	}
	if err != nil {
		err = k.fails.of(op, err)
	}
	runtime.KeepAlive(k)
	return n, err
}

// encodeRun encodes some of vs, using the memory of *buf and run. It stops after the first message
// that is longer than a slot, and before the first value that can't be encoded, with its error.
func (e *encoded[T]) encodeRun(buf *[]byte, vs []T, run *[maxRun][]byte) (msgs [][]byte, err error) {
	*buf = (*buf)[:0]
	msgs = run[:0]
	for i := range vs[:min(len(vs), maxRun)] {
		msg, err := e.encodeNext(buf, &vs[i])
		if err != nil {
			return msgs, err
		}
		if msgs = append(msgs, msg); len(msg) > inlineSize {
			break
		}
	}
	return msgs, nil
}

// putMessages puts msgs, of which only the last one may be longer than a slot. It returns how many were
// put. It does not block if ctx is tryOnce.
func (e *encoded[T]) putMessages(ctx context.Context, k *queueCore[envelope], msgs [][]byte) (n int, err error) {
	for n < len(msgs) && err == nil {
		rest := msgs[n:]
		if len(rest[0]) > inlineSize {
			if err = e.putMessage(ctx, k, rest[0]); err == nil {
				n++
			}
			continue
		}
		var put int
		put, err = e.putRun(k, rest)
		if err == ErrFull && ctx != tryOnce {
			put, err = e.awaitPutRun(ctx, k, rest)
		}
		n += put
	}
	return n, err
}

// awaitPutRun is putRun after a try that failed with ErrFull. It blocks.
func (e *encoded[T]) awaitPutRun(ctx context.Context, k *queueCore[envelope], msgs [][]byte) (n int, err error) {
	run := slices.Clone(msgs) // what escapes does so here
	err = e.inner.awaitPut(ctx, k, func() (err error) {
		n, err = e.putRun(k, run)
		return err
	})
	return n, err
}

// putRun puts some of msgs, at least one, up to the first one that is longer than a slot. It returns
// how many. It fails as queueCore.put does.
func (e *encoded[T]) putRun(k *queueCore[envelope], msgs [][]byte) (int, error) {
	_, pos, err := k.claimFree()
	if err != nil {
		return 0, err
	}
	n := len(msgs)
	if len(msgs[n-1]) > inlineSize {
		n--
	}
	n = k.claimRun(pos, n)
	at := pos
	for _, msg := range msgs[:n] {
		k.slots.message(k.slots.slotWord(at.slot())).fill(at, msg)
		at = at.next(k.slots.count)
	}
	return n, k.publishRun(pos, n)
}

// getMany is the method op, which gets values into vs. It does not block if ctx is tryOnce.
func (e *encoded[T]) getMany(ctx context.Context, op string, vs []T) (n int, err error) {
	k := e.open()
	if k == nil {
		return 0, closed(op)
	}
	if len(vs) == 0 {
		return 0, nil
	}
	if k.takes != reading || !e.plain() {
		return e.getEach(ctx, op, k, vs)
	}
	if err := e.getFirst(ctx, op, vs); err != nil {
		return 0, err
	}
	buf := buffers.Get().(*[]byte)
	defer putBuffer(buf)
	*buf = slices.Grow((*buf)[:0], maxRun*inlineSize)
	for n = 1; n < len(vs) && err == nil; {
		var got int
		if got, err = e.getRun(k, (*buf)[:maxRun*inlineSize], vs[n:]); got == 0 {
			break
		}
		n += got
	}
	if err != nil {
		err = k.fails.of(op, err)
	}
	runtime.KeepAlive(k)
	return n, err
}

// getFirst is get into vs[0], whose memory it does not use: a value of the last batch may lie there.
func (e *encoded[T]) getFirst(ctx context.Context, op string, vs []T) error {
	var v T
	err := e.get(ctx, op, &v)
	if err == nil {
		vs[0] = v
	}
	return err
}

// getEach gets values one by one: the first one as get does, and then as many as are there.
func (e *encoded[T]) getEach(ctx context.Context, op string, k *queueCore[envelope], vs []T) (int, error) {
	if err := e.getFirst(ctx, op, vs); err != nil {
		return 0, err
	}
	n := 1
	for ; n < len(vs); n++ {
		var t taken
		err := e.take(k, k.takes != reading, &t)
		if err != nil {
			t.end()
			break
		}
		err = e.deliver(k, &t, &vs[n], nil)
		t.end()
		if err != nil {
			return n, k.fails.of(op, err)
		}
	}
	runtime.KeepAlive(k)
	return n, nil
}

// getRun gets messages that are there into vs and returns how many: 0 if there are none. If some can't
// be decoded, it leaves them out and returns the first one's error. It uses the memory of buf.
func (e *encoded[T]) getRun(k *queueCore[envelope], buf []byte, vs []T) (n int, err error) {
	var ts [maxRun]taken
	run := e.takeRun(k, buf, ts[:min(len(vs), maxRun)])
	if e.bare() {
		share(ts[:run])
	}
	for i := range run {
		failed := e.decode(&ts[i], &vs[n])
		if failed == nil {
			n++
		} else if err == nil {
			err = failed
		}
	}
	return n, err
}

// takeRun takes messages that are there to ts and returns how many. It uses the memory of buf for those
// that were in their slots.
func (e *encoded[T]) takeRun(k *queueCore[envelope], buf []byte, ts []taken) int {
	pos, n, err := k.claimReadyRun(len(ts))
	if err != nil {
		return 0 // the next call that blocks returns it
	}
	var ats [maxRun]stored
	most, at := e.inStorage(), pos
	for i := range ts[:n] {
		t := &ts[i]
		t.msg, ats[i], t.err = e.content(k, k.slots.slotWord(at.slot()), buf[i*inlineSize:][:0:inlineSize], most)
		if len(t.msg) > inlineSize {
			most -= len(t.msg) // together they can't be longer than the storage
		}
		at = at.next(k.slots.count)
	}
	if k.releaseRun(pos, n) != nil {
		return 0 // closed
	}
	for _, at := range ats[:n] {
		if at.n > 0 {
			e.store.give(at.first, at.n, at.mark)
		}
	}
	e.store.w.waiters.NotifyAll()
	return n
}

// share copies the messages that were in their slots to memory that is theirs. As many as fit into
// sharedSize bytes share one allocation.
func share(ts []taken) {
	var memory []byte
	for i := range ts {
		t := &ts[i]
		n := len(t.msg)
		if t.err != nil || n > inlineSize {
			continue
		}
		if memory == nil || n > cap(memory)-len(memory) {
			memory = make([]byte, 0, min(sharedSize, n*(len(ts)-i)))
		}
		used := len(memory)
		memory = append(memory, t.msg...)
		t.msg = memory[used : used+n : used+n]
	}
}

// sharedSize is how much memory strings and slices of one batch share at most. One of them that is kept
// keeps all of it.
const sharedSize = 512
