package proc

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
)

// CallOptions are options of a call of a task by a pool.
type CallOptions struct {
	// Key makes calls go to one worker while it lives: all calls of a pool with the same key,
	// whatever their tasks, run in the same process, in the order in which they were submitted.
	// When that worker is lost or replaced, another takes the key over. The default "" means any
	// worker.
	Key string

	// Timeout bounds the time that the call runs. The default 0 means PoolOptions.Timeout, and a
	// negative Timeout means no bound.
	Timeout time.Duration

	// Retries is how many times the call is run again after its worker was lost. The default 0
	// means PoolOptions.Retries, and a negative number means never.
	Retries int
}

// A Future is the result of a call that may not be there yet. Its methods may be called by any
// number of goroutines at once, any number of times.
type Future[Out any] struct {
	coding *coding[Out]
	done   chan struct{}
	out    Out
	err    error
	unhook atomic.Pointer[func() bool] // takes back what is to happen when the context of Submit is done
}

// Submit asks the pool to run t with the argument in, and returns at once. The call waits until a
// worker has time for it. When ctx is done, the call is taken back, or the context of the running
// task ends; a task that does not return within PoolOptions.Grace is killed with its worker. The
// Future's error is then ctx's error.
//
// At most one CallOptions may be given; none, or nil, means the defaults.
//
// Submit fails with ErrPoolClosed, with ErrInit if the pool is broken, or with ErrValue or the
// error of the encoding if in can't be sent. Objects in shared memory that stand in the argument
// must stay open until the result is there.
func (t *Task[In, Out]) Submit(ctx context.Context, p *Pool, in In, o ...*CallOptions) (*Future[Out], error) {
	f, _, err := t.submit(ctx, p, "Submit", &in, only(o), false)
	return f, err
}

// submit gives a call to the pool. If direct is true and a worker has nothing to do, submit sends the
// call to that worker and returns it, and the caller must lead.
func (t *Task[In, Out]) submit(
	ctx context.Context, p *Pool, op string, in *In, o *CallOptions, direct bool,
) (f *Future[Out], leads *worker, err error) {
	var data []byte
	buffer := takeBuffer(int(t.width.Load()))
	if buffer != nil {
		data = (*buffer)[:0]
	}
	if data, err = t.appendCall(p, data, in); err != nil {
		return nil, nil, fmt.Errorf("proc: %s of task %q: %w", op, t.name, err)
	}
	if n := int64(len(data)); n != t.width.Load() {
		t.width.Store(n)
	}
	f = &Future[Out]{coding: &t.out, done: make(chan struct{})}
	b := &batch{task: t.name, print: t.print, work: f, data: data, buffer: buffer, n: 1}
	p.setOptions(b, o)
	if err := ctx.Err(); err != nil {
		return nil, nil, fmt.Errorf("proc: %s of task %q: %w", op, t.name, err)
	}
	if direct {
		leads, err = p.engine.call(op, b)
	} else {
		err = p.engine.submit(op, b)
	}
	if err != nil {
		return nil, nil, err
	}
	if ctx.Done() != nil {
		f.setUnhook(context.AfterFunc(ctx, func() { p.engine.stop(b, ctx.Err(), false) }))
	}
	return f, leads, nil
}

// Apply runs t with the argument in on a worker of the pool and returns its result. It fails as
// Submit and Future.Wait do. If a worker has nothing to do, Apply is faster than Submit and Wait, as
// the calling goroutine then exchanges messages with the worker by itself.
func (t *Task[In, Out]) Apply(ctx context.Context, p *Pool, in In, o ...*CallOptions) (Out, error) {
	f, w, err := t.submit(ctx, p, "Apply", &in, only(o), true)
	if err != nil {
		var none Out
		return none, err
	}
	if w != nil {
		w.lead(f.Ready)
	}
	<-f.done // ends soon after ctx, too
	return f.out, f.err
}

// only returns the options that a caller gave, or nil. It panics if they are several.
func only[T any](options []*T) *T {
	switch len(options) {
	case 0:
		return nil
	case 1:
		return options[0]
	}
	panic("proc: options were given twice")
}

// Wait waits for the result. It returns what the task returned: its result, or an error:
//
//   - *RemoteError, if the task returned an error,
//   - *PanicError, if it panicked,
//   - *WorkerLostError, if its worker ended while it ran,
//   - context.DeadlineExceeded, if it ran for longer than its timeout,
//   - the error of the context of Submit,
//   - ErrPoolClosed, if the pool was terminated, or ErrInit, if the pool is broken.
//
// If ctx is done first, Wait returns ctx's error, and the call goes on.
func (f *Future[Out]) Wait(ctx context.Context) (Out, error) {
	select {
	case <-f.done:
		return f.out, f.err
	default:
	}
	select {
	case <-f.done:
		return f.out, f.err
	case <-ctx.Done():
		var none Out
		return none, fmt.Errorf("proc: Future.Wait: %w", ctx.Err())
	}
}

// Done returns a channel that is closed when the result is there.
func (f *Future[Out]) Done() <-chan struct{} { return f.done }

// Ready reports whether the result is there.
func (f *Future[Out]) Ready() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// Then calls fn with the result when it is there, on a goroutine of its own. fn may call all
// methods of the pool.
func (f *Future[Out]) Then(fn func(Out, error)) {
	go func() {
		<-f.done
		fn(f.out, f.err)
	}()
}

func (f *Future[Out]) deliver(_ int, worker string, answer []byte) {
	f.err = readAnswer(f.coding, worker, answer, &f.out)
}

func (f *Future[Out]) delivered(int) { f.finish() }

func (f *Future[Out]) fail(_ int, err error) {
	f.err = err
	f.finish()
}

func (f *Future[Out]) finish() {
	close(f.done)
	if unhook := f.unhook.Load(); unhook != nil {
		(*unhook)()
	}
}

func (f *Future[Out]) setUnhook(unhook func() bool) {
	f.unhook.Store(&unhook)
	if f.Ready() {
		unhook()
	}
}

func (f *Future[Out]) took(time.Duration) {}

// readAnswer sets *out to the result in a worker's answer, or returns the error in it.
func readAnswer[Out any](c *coding[Out], worker string, answer []byte, out *Out) (err error) {
	switch answer[0] {
	case answerResult, answerObjects:
		if err = c.decode(answer[1:], out); err != nil {
			var none Out
			*out = none
			err = fmt.Errorf("proc: result from %s: %w", worker, err)
		}
	case answerError, answerLast:
		err = decodeError(worker, answer[1:])
	case answerText:
		err = &RemoteError{Process: worker, Message: strings.ToValidUTF8(string(answer[1:]), "?")}
	case answerLost:
		err = decodeLost(worker, answer[1:])
	case answerPanic:
		err = decodePanic(worker, answer[1:])
	default:
		err = fmt.Errorf("proc: answer from %s: %w", worker, errMessage)
	}
	return err
}
