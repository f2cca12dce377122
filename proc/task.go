package proc

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
)

// A Task is a function that can run in another process. Its methods may be
// called by several goroutines at once.
type Task[In, Out any] struct {
	name  string
	in    coding[In]
	out   coding[Out]
	width atomic.Int64 // length of the last encoded argument of a call by a pool
}

// A function is a task's, from encoded input to encoded result, which it appends to dst. If use is
// not nil, it is called with the objects in the input before the task runs.
type function func(ctx context.Context, dst, input []byte, use func(lease)) (product, error)

// A product is what a task's function has returned. It is small enough for registers.
type product struct {
	result []byte // dst and the result
	shared *lease // nil: there are no handles of objects in the result; the objects, if use was not nil
}

// close ends the uses of the objects in the result.
func (p product) close() {
	if p.shared != nil {
		p.shared.close()
	}
}

// A registered is a task as others find it by its name.
type registered struct {
	run   function
	print func() uint64 // see Task.print
}

// registry holds the tasks of this program by name.
var registry = struct {
	mu    sync.Mutex
	tasks map[string]registered
}{tasks: make(map[string]registered)}

// Register makes a task of f. Parent and child are the same program and find
// the task by its name, so it must be registered before Init in both: make it a
// package-level variable. It panics if the name is taken or if Init was called.
//
// The input and the result travel by the codec of package ring: see ring.DefaultCodec for what it
// encodes, and ring.RegisterType for values of interfaces. A []byte that is nil arrives empty.
// Objects of mp may be anywhere in the input or the result: their handles are sent, and the
// receiver becomes a user of the objects. If a type marshals itself and holds an object, it needs a
// method Handle() shm.Handle that returns the object's handle.
//
// In the child, f runs on the main goroutine, and the process ends when f returns, with exit code
// 0, or 1 if f returned an error. The child's other goroutines and its own children end with it:
// call Shutdown in f to wait for the children.
//
// The context is cancelled, with the reason as its context.Cause, when the process is asked to
// terminate (ErrTerminated, ErrInterrupted) and when its parent dies (ErrParentDied). f should then
// clean up and return. If it returns the context's error, the process ends by the signal, as a
// process that does not handle it. If it returns nil or another error, that is the task's result.
// If f has not returned when the grace is over (see Options), or at a second signal, the process
// ends nevertheless. f may handle SIGTERM and SIGINT itself, by package os/signal.
func Register[In, Out any](name string, f func(ctx context.Context, in In) (Out, error)) *Task[In, Out] {
	if initCalled.Load() {
		panic(fmt.Sprintf("proc: task %q registered after Init: a child would not find it", name))
	}
	registry.mu.Lock()
	defer registry.mu.Unlock()
	if registry.tasks[name].run != nil {
		panic(fmt.Sprintf("proc: task %q registered twice", name))
	}
	t := &Task[In, Out]{name: name}
	registry.tasks[name] = registered{t.run(f), t.print}
	return t
}

// run returns the function of t, which calls f.
func (t *Task[In, Out]) run(f func(ctx context.Context, in In) (Out, error)) function {
	return func(ctx context.Context, dst, input []byte, use func(lease)) (made product, err error) {
		var in In
		if err := t.in.decode(input, &in); err != nil {
			return made, fmt.Errorf("input of task %q: %w", t.name, err)
		}
		if use != nil && t.in.walk {
			use(t.in.objects(&in))
		}
		out, err := f(ctx, in)
		if err != nil {
			return made, err
		}
		var seen []sighting
		if made.result, seen, err = t.out.encode(dst, &out); err != nil {
			return made, fmt.Errorf("result of task %q: %w", t.name, err)
		}
		if len(seen) > 0 {
			made.shared = new(lease)
			if use != nil {
				*made.shared = leaseOf(seen)
			}
		}
		return made, nil
	}
}

// print returns a fingerprint of the types of t's argument and result.
func (t *Task[In, Out]) print() uint64 { return 3*t.in.print() + t.out.print() }

// findTask returns a task. Its run is nil if there is none.
func findTask(name string) registered {
	registry.mu.Lock()
	defer registry.mu.Unlock()
	return registry.tasks[name]
}

// Name returns the name that was given to Register.
func (t *Task[In, Out]) Name() string { return t.name }

// New makes a process that will run t with the input in. It encodes the input: the process
// does not see later changes. It returns ErrValue if in holds a channel, a function or itself,
// os.ErrClosed if in holds a closed object, and ring.ErrEncode or the error of a method if in can't
// be encoded otherwise. The error says which part of in it was.
func (t *Task[In, Out]) New(in In, options *Options) (*Call[Out], error) {
	input, seen, err := t.encode(in)
	if err != nil {
		return nil, err
	}
	p := newProcess(t.name, input, seen, options)
	p.keep = func(result []byte) (any, lease, error) {
		var out Out
		err := t.out.decode(result, &out)
		return out, t.out.objects(&out), err
	}
	return &Call[Out]{p, &t.out}, nil
}

// Start calls New and Process.Start. It returns as soon as the process exists. If it returns an
// error, of either, it has started nothing.
func (t *Task[In, Out]) Start(ctx context.Context, in In, options *Options) (*Call[Out], error) {
	c, err := t.New(in, options)
	if err != nil {
		return nil, err
	}
	if err := c.Process.Start(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// encode returns the encoded input and the handles in it.
func (t *Task[In, Out]) encode(in In) (input []byte, seen []sighting, err error) {
	if input, seen, err = t.in.encode(nil, &in); err != nil {
		return nil, nil, fmt.Errorf("proc: New of task %q: %w", t.name, err)
	}
	return input, seen, nil
}
