package proc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/seed-2e7ecdea/mp/array"
	"github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
	"github.com/seed-2e7ecdea/mp/value"
)

// things are objects of shared memory.
type things struct {
	Queue     *ring.Queue[int64]
	Conn      *ring.Conn
	Lock      *psync.Lock
	RLock     *psync.RLock
	RWLock    *psync.RWLock
	Semaphore *psync.Semaphore
	Bounded   *psync.BoundedSemaphore
	Condition *psync.Condition
	Event     *psync.Event
	Barrier   *psync.Barrier
	Group     *psync.WaitGroup
	Once      *psync.Once
	Int       *value.Int64
	Float     *value.Float64
	Value     *value.Value[[3]int32]
	Array     *array.Array[int32]
	Bytes     *array.Bytes
	Segment   *shm.Segment
}

// roomy returns a segment that is closed after the test.
func roomy(t *testing.T) *shm.Segment {
	t.Helper()
	seg, err := shm.Anonymous(1<<20, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { seg.Close() })
	return seg
}

// makeThings makes one of each in seg. The other end of the pipe is returned too.
func makeThings(seg *shm.Segment) (t things, far *ring.Conn, err error) {
	failures := []error{}
	note := func(err error) { failures = append(failures, err) }
	t.Segment = seg
	t.Queue, err = ring.NewQueue[int64](seg, "", 4, nil)
	note(err)
	t.Conn, far, err = ring.NewPipe(seg, "", nil)
	note(err)
	t.Lock, err = psync.NewLock(seg, "", nil)
	note(err)
	t.RLock, err = psync.NewRLock(seg, "", nil)
	note(err)
	t.RWLock, err = psync.NewRWLock(seg, "", nil)
	note(err)
	t.Semaphore, err = psync.NewSemaphore(seg, "", 2)
	note(err)
	t.Bounded, err = psync.NewBoundedSemaphore(seg, "", 2)
	note(err)
	t.Condition, err = psync.NewCondition(seg, "", t.Lock, nil)
	note(err)
	t.Event, err = psync.NewEvent(seg, "")
	note(err)
	t.Barrier, err = psync.NewBarrier(seg, "", 1, nil)
	note(err)
	t.Group, err = psync.NewWaitGroup(seg, "")
	note(err)
	t.Once, err = psync.NewOnce(seg, "")
	note(err)
	t.Int, err = value.NewInt64(seg, "", 0, nil)
	note(err)
	t.Float, err = value.NewFloat64(seg, "", 0, nil)
	note(err)
	t.Value, err = value.New(seg, "", [3]int32{}, nil)
	note(err)
	t.Array, err = array.New[int32](seg, "", 3, nil)
	note(err)
	t.Bytes, err = array.NewBytes(seg, "", 16, nil)
	note(err)
	return t, far, errors.Join(failures...)
}

// fill changes all that can be seen.
func (t *things) fill(ctx context.Context) error {
	_, barrier := t.Barrier.Wait(ctx)
	return errors.Join(
		t.Queue.Put(ctx, 5), t.Event.Set(), t.Bytes.Set("filled"), t.Group.Add(1), barrier,
		t.Value.Update(ctx, func(v *[3]int32) { v[1] = 8 }),
		t.Lock.With(ctx, func() error { t.Int.Add(6); t.Float.Store(0.5); t.Array.Set(2, 7); return t.Condition.NotifyAll() }),
		t.Semaphore.Acquire(ctx), t.RWLock.RAcquire(ctx), t.RWLock.RRelease(),
		t.Once.Do(ctx, func() error { return nil }),
	)
}

// check checks what fill has changed.
func (t *things) check(ctx context.Context) error {
	n, err := t.Queue.Get(ctx)
	if err != nil {
		return err
	}
	permits, err := t.Semaphore.Value()
	if err != nil {
		return err
	}
	got := fmt.Sprint(n, t.Event.IsSet(), t.Bytes, t.Value.Load(), t.Int.Load(), t.Float.Load(), t.Array.Slice(), permits)
	if want := "5 true filled [0 8 0] 6 0.5 [0 0 7] 1"; got != want {
		return fmt.Errorf("got %s, want %s", got, want)
	}
	return errors.Join(t.Group.Done(), t.Lock.TryAcquire(), t.Lock.Release())
}

// fillThings fills its argument and returns it.
var fillThings = proc.Register("fill things", func(ctx context.Context, t things) (things, error) { return t, t.fill(ctx) })

// make returns things of the child's own segment, in which it has filled the objects, and the other
// end of the pipe in a map. If keep is false it gives them up before it returns.
var makeAll = proc.Register("make things", func(ctx context.Context, named bool) (map[string]things, error) {
	seg, err := shm.Anonymous(1<<20, nil)
	if err != nil {
		return nil, err
	}
	t, far, err := makeThings(seg)
	if err != nil {
		return nil, err
	}
	return map[string]things{"near": t, "far": {Conn: far}}, errors.Join(t.fill(ctx), far.Send(ctx, []byte("from the child")))
})

// Objects of any kind go to a process and come back, by each method.
func TestP04_S06_Objects(t *testing.T) {
	for _, method := range []proc.Method{proc.Spawn, proc.Warm, proc.InProcess} {
		t.Run(method.String(), func(t *testing.T) {
			o := &proc.Options{Method: method}
			if method == proc.Warm {
				o.Spares = newSpares(t, 1, nil)
			}
			seg := roomy(t)
			mine, far, err := makeThings(seg)
			if err != nil {
				t.Fatal(err)
			}
			p := start(t, fillThings, mine, o)
			back, err := p.Result(within(t))
			if err != nil {
				t.Fatal(err)
			}
			if err := mine.check(within(t)); err != nil {
				t.Errorf("the parent's: %v", err)
			}
			if err := errors.Join(back.Queue.Put(within(t), 5), back.Group.Add(1), back.check(within(t))); err != nil {
				t.Errorf("what came back: %v", err)
			}
			// The end of the pipe has two holders in this process, and no other.
			if err := mine.Conn.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := far.TryReceive(); !errors.Is(err, ring.ErrEmpty) {
				t.Errorf("TryReceive: %v, want ErrEmpty", err)
			}
			if err := back.Conn.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := far.Receive(within(t)); !errors.Is(err, io.EOF) {
				t.Errorf("Receive: %v, want EOF", err)
			}
		})
	}
}

// Objects that a child has made outlive it when it returns them.
func TestP04_ObjectsOfChild(t *testing.T) {
	for _, method := range []proc.Method{proc.Spawn, proc.InProcess} {
		t.Run(method.String(), func(t *testing.T) {
			p := start(t, makeAll, false, &proc.Options{Method: method})
			await(t, p.Process) // its segment has no other party than this process
			got, err := p.Result(within(t))
			if err != nil {
				t.Fatal(err)
			}
			near, far := got["near"], got["far"]
			if err := near.check(within(t)); err != nil {
				t.Error(err)
			}
			if msg, err := near.Conn.Receive(within(t)); string(msg) != "from the child" || err != nil {
				t.Errorf("received %q, %v", msg, err)
			}
			if err := far.Conn.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := near.Conn.Receive(within(t)); !errors.Is(err, io.EOF) {
				t.Errorf("Receive: %v, want EOF", err)
			}
			if err := near.Segment.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("closed without Result", func(t *testing.T) {
		p := start(t, makeEnd, roomy(t), nil)
		if err := p.Join(within(t)); err != nil {
			t.Fatal(err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Result(within(t)); !errors.Is(err, proc.ErrClosed) {
			t.Errorf("Result after Close: %v, want ErrClosed", err)
		}
	})
	t.Run("taken once", func(t *testing.T) {
		p := start(t, makeEnd, roomy(t), nil)
		c, err := p.Result(within(t))
		if err != nil {
			t.Fatal(err)
		}
		again, err := p.Result(within(t))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(c.Close(), again.Close()); err != nil {
			t.Fatal(err)
		}
	})
}

// makeEnd returns an end of a pipe that it has made.
var makeEnd = proc.Register("make an end", func(_ context.Context, seg *shm.Segment) (*ring.Conn, error) {
	c, _, err := ring.NewPipe(seg, "", nil)
	return c, err
})

// relay receives handles of values and adds one to each, until the end of the pipe.
var relay = proc.Register("relay", func(ctx context.Context, c *ring.Conn) (int, error) {
	for n := 0; ; n++ {
		text, err := c.Receive(ctx)
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		var v value.Int64
		if err := v.UnmarshalText(text); err != nil {
			return n, err
		}
		v.Add(1)
		if err := errors.Join(v.Close(), c.Send(ctx, []byte("added"))); err != nil {
			return n, err
		}
	}
})

// A process that was started before the object was made gets it by its handle's text, in a message.
// The object may be in a segment that the process is not attached to.
func TestS06_HandleSentLater(t *testing.T) {
	ours, theirs, err := ring.NewPipe(nil, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, relay, theirs, nil)
	if err := theirs.Close(); err != nil {
		t.Fatal(err)
	}
	other := anonymous(t, nil)
	for _, seg := range []*shm.Segment{nil, other, other} {
		v, err := value.NewInt64(seg, "", 41, nil)
		if err != nil {
			t.Fatal(err)
		}
		text, err := v.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		if err := ours.Send(within(t), text); err != nil {
			t.Fatal(err)
		}
		if msg, err := ours.Receive(within(t)); string(msg) != "added" || err != nil {
			t.Fatalf("received %q, %v", msg, err)
		}
		if n := v.Load(); n != 42 {
			t.Errorf("the value is %d, want 42", n)
		}
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := ours.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := p.Result(within(t)); n != 3 || err != nil {
		t.Errorf("Result = %d, %v", n, err)
	}
}

// hog takes memory in pieces, and drops it if it is told so.
var hog = proc.Register("hog", func(_ context.Context, how string) (int, error) {
	var all [][]byte
	for n := 0; ; n++ {
		piece := make([]byte, 1<<20)
		for i := 0; i < len(piece); i += 4096 {
			piece[i] = 1
		}
		switch how {
		case "keep":
			all = append(all, piece)
		case "drop":
			if all = [][]byte{piece}; n == 600 {
				return len(all), nil
			}
		case "large":
			return len(make([]byte, 1<<30)), nil
		}
	}
})

func TestMemory(t *testing.T) {
	if testkit.Race {
		t.Skip("the race detector needs memory of its own")
	}
	for _, tt := range []struct {
		how  string
		fine bool
	}{{"keep", false}, {"large", false}, {"drop", true}} {
		t.Run(tt.how, func(t *testing.T) {
			var errs strings.Builder
			p := start(t, hog, tt.how, &proc.Options{Memory: 256 << 20, Stderr: &errs})
			err := p.Join(within(t))
			if tt.fine {
				if err != nil {
					t.Errorf("Join: %v", err)
				}
				return
			}
			if !errors.Is(err, proc.ErrMemory) {
				t.Errorf("Join: %v, want ErrMemory\n%s", err, errs.String())
			}
			wantExit(t, p.Process, 2)
		})
	}
	if errors.Is(&proc.PanicError{Value: "boom"}, proc.ErrMemory) {
		t.Error("any panic is for want of memory")
	}
}
