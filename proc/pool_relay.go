package proc

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/relay"
)

// Package cluster reaches pools by package relay: see there.
func init() {
	relay.Proc.NewPool = func(e relay.Engine, timeout time.Duration, retries int) any {
		return &Pool{engine: &far{e}, timeout: timeout, retries: retries}
	}
	relay.Proc.Run = func(pool any, b *relay.Batch, a relay.Answers) (func(error, bool), error) {
		return pool.(*Pool).run(b, a)
	}
	relay.Proc.Room = func(pool any) int { return pool.(*Pool).engine.room() }
	relay.Proc.Failure = appendFailure
}

// A far is the engine of a pool whose workers are on other machines.
type far struct{ e relay.Engine }

// submit implements engine.
func (f *far) submit(op string, b *batch) error {
	if b.key != "" {
		return fmt.Errorf("proc: %s: option Key, in a pool on other machines: %w", op, errors.ErrUnsupported)
	}
	b.far = &relay.Batch{Task: b.task, Print: b.print(), Calls: b.n, Data: b.data, Timeout: b.timeout, Retries: b.retries}
	if err := f.e.Submit(b.far, farWork{b}); err != nil {
		return fmt.Errorf("proc: %s: %w", op, err)
	}
	return nil
}

// call implements engine.
func (f *far) call(op string, b *batch) (*worker, error) { return nil, f.submit(op, b) }

// stop implements engine.
func (f *far) stop(b *batch, err error, gently bool) { f.e.Stop(b.far, err, gently) }

// room implements engine.
func (f *far) room() int { return f.e.Room() }

// chunk implements engine.
func (f *far) chunk(each time.Duration) int { return f.e.Chunk(each) }

// local implements engine.
func (f *far) local() bool { return false }

// count implements engine.
func (f *far) count() int { return f.e.Workers() }

// resize implements engine.
func (f *far) resize(int) error {
	return fmt.Errorf("the workers are on other machines: %w", errors.ErrUnsupported)
}

// drain implements engine.
func (f *far) drain() { f.e.Drain() }

// fail implements engine.
func (f *far) fail(err error) { f.e.Fail(err) }

// gone implements engine.
func (f *far) gone() <-chan struct{} { return f.e.Gone() }

// snapshot implements engine.
func (f *far) snapshot() PoolStats { return f.e.Stats().(PoolStats) }

// farWork passes the answers from other machines on to the work of a batch.
type farWork struct{ b *batch }

// Deliver implements relay.Answers.
func (w farWork) Deliver(call int, worker string, answer []byte) {
	w.b.work.deliver(w.b.first+call, worker, answer)
	w.b.work.delivered(1)
}

// Fail implements relay.Answers.
func (w farWork) Fail(call int, err error) {
	w.b.work.fail(w.b.first+call, fmt.Errorf("proc: task %q: %w", w.b.task, err))
}

// Took implements relay.Answers.
func (w farWork) Took(each time.Duration) { w.b.work.took(each) }

// run runs a batch that has come from another machine.
func (p *Pool) run(r *relay.Batch, a relay.Answers) (stop func(err error, gently bool), err error) {
	t := findTask(r.Task)
	if t.run == nil {
		return nil, fmt.Errorf("task %q: %w", r.Task, ErrUnknownTask)
	}
	if print := t.print(); print != r.Print {
		return nil, fmt.Errorf("task %q: %w: its types have the fingerprint %s here and %s there", r.Task, relay.ErrVersion,
			strconv.FormatUint(print, 16), strconv.FormatUint(r.Print, 16))
	}
	rest := r.Data
	for range r.Calls {
		if _, rest, err = cutCall(rest); err != nil {
			return nil, err
		}
	}
	if len(rest) != 0 || r.Calls == 0 {
		return nil, errMessage
	}
	b := &batch{task: r.Task, data: r.Data, n: r.Calls, work: nearWork{a}, timeout: r.Timeout, retries: r.Retries}
	if err := p.engine.submit("Serve", b); err != nil {
		return nil, err
	}
	return func(err error, gently bool) { p.engine.stop(b, err, gently) }, nil
}

// nearWork passes the answers of this machine's workers on to another machine.
type nearWork struct{ a relay.Answers }

func (w nearWork) deliver(i int, worker string, answer []byte) {
	if answer[0] == answerObjects {
		w.a.Fail(i, errFarObjects)
		return
	}
	w.a.Deliver(i, worker, answer)
}

func (w nearWork) delivered(int)           {}
func (w nearWork) fail(i int, err error)   { w.a.Fail(i, err) }
func (w nearWork) took(each time.Duration) { w.a.Took(each) }

// errFarObjects means that an argument or a result holds objects of this machine's memory.
var errFarObjects = errors.New("objects in shared memory can't be sent to another machine")

// A wireLost is a WorkerLostError on its way from another machine.
type wireLost struct {
	Task, Worker  string
	PID, ExitCode int
	Memory        bool
	Exit          bool       // Err is an ExitError
	Panic         *wirePanic // Err is a PanicError
	Other         *wireError // Err is another error
}

var lostCoding coding[wireLost]

// appendFailure appends to dst the answer that makes a call fail with err, at another machine.
func appendFailure(dst []byte, err error) []byte {
	var lost *WorkerLostError
	if !errors.As(err, &lost) {
		return appendError(dst, err)
	}
	w := wireLost{Task: lost.Task, Worker: lost.Worker, PID: lost.PID, ExitCode: lost.ExitCode, Memory: lost.Memory}
	switch e := lost.Err.(type) {
	case nil:
	case *ExitError:
		w.Exit = true
	case *PanicError:
		w.Panic = &wirePanic{e.Value, e.Stack}
	default:
		w.Other = newWireError(e)
	}
	text, _, err := lostCoding.encode(append(dst, answerLost), &w)
	if err != nil {
		return appendError(dst, err)
	}
	return text
}

// decodeLost is the inverse of appendFailure for a WorkerLostError.
func decodeLost(worker string, data []byte) error {
	var w wireLost
	if err := lostCoding.decode(data, &w); err != nil {
		return failed("Join", worker, fmt.Errorf("its end can't be decoded: %w", err))
	}
	lost := &WorkerLostError{Task: w.Task, Worker: worker, PID: w.PID, ExitCode: w.ExitCode, Memory: w.Memory}
	switch {
	case w.Exit:
		lost.Err = &ExitError{Process: worker, Code: w.ExitCode, Memory: w.Memory}
	case w.Panic != nil:
		lost.Err = &PanicError{Process: worker, Value: w.Panic.Value, Stack: w.Panic.Stack}
	case w.Other != nil:
		lost.Err = w.Other.error(worker)
	}
	return lost
}
