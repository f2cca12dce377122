package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/seed-2e7ecdea/mp/internal/cpu"
	"github.com/seed-2e7ecdea/mp/internal/sys"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
	"github.com/seed-2e7ecdea/mp/value"
)

// A lineJob is the argument of one of the two processes that pass a cache line back and forth.
type lineJob struct {
	Out, In *value.Uint64 // what this process writes, and what it reads
	First   bool          // begins each round trip, and measures
	Pin     []int         // the CPU to which it is bound; empty: any
}

// line is the task of the two processes.
var line = proc.Register("mp/bench/line", func(_ context.Context, j lineJob) (float64, error) { return j.run() })

const (
	lineStop  = ^uint64(0)            // what the first process writes to end the other
	lineTime  = 10 * time.Millisecond // how long it measures
	lineBatch = 64                    // round trips between two looks at the clock
)

// Distance returns how long a cache line takes from one process to another and back, in
// nanoseconds, while both spin. It is the median of batches over 10 ms, so that moments in which
// one of the two does not run do not count. No transport in memory can be faster. It tells how far
// apart the CPUs are at the moment: a host may move virtual CPUs from core to core, and a line's
// round trip with them.
//
// The processes are bound to the first two CPUs of pin, or, if pin is empty, of those that this
// process may use. Distance starts them, and kills them if ctx ends. It returns proc.ErrNoInit if
// the program has not called proc.Init; ctx's error; or the error of a process that failed.
func Distance(ctx context.Context, pin []int) (ns float64, err error) {
	if len(pin) == 0 {
		if pin, err = sys.CPUs(); err != nil {
			return 0, fmt.Errorf("bench: list the CPUs that the process may use: %w", err)
		}
	}
	ns, err = distance(ctx, pin)
	if err != nil {
		return 0, fmt.Errorf("bench: distance of CPUs: %w", err)
	}
	return ns, nil
}

func distance(ctx context.Context, pin []int) (_ float64, err error) {
	seg, err := shm.Anonymous(1<<16, nil)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, seg.Close()) }()
	var words [3]*value.Uint64 // the middle one keeps the others' lines apart
	for i := range words {
		if words[i], err = value.NewUint64(seg, fmt.Sprint("word ", i), 0, nil); err != nil {
			return 0, err
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	first := lineJob{Out: words[0], In: words[2], First: true, Pin: pin[:1]}
	second := lineJob{Out: words[2], In: words[0], Pin: pin[1%len(pin):][:1]}
	ps := processes[float64]{cancel: cancel}
	defer ps.end()
	for _, j := range []lineJob{first, second} {
		call, err := line.New(j, nil)
		if err != nil {
			return 0, err
		}
		if err := ps.start(ctx, call); err != nil {
			return 0, err
		}
	}
	ns, err := ps.calls[0].Result(ctx)
	if err != nil {
		return 0, ps.failure(ctx, err)
	}
	if err := ps.calls[1].Join(ctx); err != nil {
		return 0, ps.failure(ctx, err)
	}
	return ns, nil
}

func (j *lineJob) run() (float64, error) {
	if len(j.Pin) > 0 {
		if err := sys.Pin(j.Pin[0]); err != nil {
			return 0, err
		}
	}
	out, in := j.Out.Word(), j.In.Word()
	if !j.First {
		for i := uint64(1); ; i++ {
			seen := in.Load()
			for k := 1; seen != i && seen != lineStop; k++ {
				pause(k)
				seen = in.Load()
			}
			if seen == lineStop {
				return 0, nil
			}
			out.Store(i)
		}
	}
	h := hdrhistogram.New(1, longest, 3) // of whole batches
	begin := time.Now()
	then := begin
	for i := uint64(0); ; {
		for range lineBatch {
			i++
			out.Store(i)
			for k := 1; in.Load() != i; k++ {
				pause(k)
			}
		}
		now := time.Now()
		switch {
		case i == lineBatch: // the other process is there, too
			begin = now
		case now.Sub(begin) >= lineTime:
			out.Store(lineStop)
			record(h, now.Sub(then))
			return float64(h.ValueAtQuantile(50)) / lineBatch, nil
		default:
			record(h, now.Sub(then))
		}
		then = now
	}
}

// pause is what a process does when it has looked k times for a change. It lets another thread run
// from time to time, since the other process may need this CPU.
func pause(k int) {
	cpu.Pause()
	if k%1024 == 0 {
		sys.Yield()
	}
}
