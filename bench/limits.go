package bench

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/seed-2e7ecdea/mp/array"
	"github.com/seed-2e7ecdea/mp/internal/cpu"
	"github.com/seed-2e7ecdea/mp/internal/sys"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
)

// Limits are what the machine allows at best between two CPUs. A host may move virtual CPUs from core to core, and the
// limits change with them.
type Limits struct {
	// Line is how long a cache line takes from one process to another and back, in nanoseconds, while both spin. No
	// transport in memory has a shorter round trip. It tells how far apart the CPUs are.
	Line float64 `json:"line_ns,omitempty"`
	// Futex is how long it takes in nanoseconds until two processes have woken each other by futexes once. No transport
	// whose processes sleep has a shorter round trip.
	Futex float64 `json:"futex_ns,omitempty"`
	// Copy is how many bytes a second one process copies from private memory of 64 KiB to shared memory of 8 MiB.
	Copy float64 `json:"copy_bytes_per_sec,omitempty"`
}

// A limitJob is the argument of one of the two processes that measure the limits.
type limitJob struct {
	Memory *array.Bytes // see limitMemory
	First  bool         // begins each round trip, and measures
	Pin    []int        // the CPU to which it is bound; empty: any
}

// The memory that the two processes share: the words that the first and the second process write, 256 bytes apart, and
// what the first process copies to.
const (
	firstWord   = 256
	secondWord  = 512
	copyStart   = 4096
	limitMemory = copyStart + memory
)

// limit is the task of the two processes.
var limit = proc.Register("mp/bench/limits", func(_ context.Context, j limitJob) (Limits, error) { return j.run() })

const (
	limitTime  = 10 * time.Millisecond // how long each limit is measured
	lineBatch  = 64                    // round trips between two looks at the clock
	futexBatch = 8
	copySize   = 1 << 16
	stopWord   = ^uint32(0) // the last number that the two processes pass, spinning or sleeping
)

// MeasureLimits returns the limits of the machine at the moment. Each is the median of batches over 10 ms, so that moments
// in which one of the two processes does not run do not count.
//
// The processes are bound to the first two CPUs of pin, or, if pin is empty, of those that this
// process may use. MeasureLimits starts them, and kills them if ctx ends. It returns proc.ErrNoInit if
// the program has not called proc.Init; ctx's error; or the error of a process that failed.
func MeasureLimits(ctx context.Context, pin []int) (l Limits, err error) {
	if len(pin) == 0 {
		if pin, err = sys.CPUs(); err != nil {
			return Limits{}, fmt.Errorf("bench: list the CPUs that the process may use: %w", err)
		}
	}
	l, err = measureLimits(ctx, pin)
	if err != nil {
		return Limits{}, fmt.Errorf("bench: limits of the machine: %w", err)
	}
	return l, nil
}

func measureLimits(ctx context.Context, pin []int) (_ Limits, err error) {
	seg, err := shm.Anonymous(limitMemory+1<<16, nil)
	if err != nil {
		return Limits{}, err
	}
	defer func() { err = errors.Join(err, seg.Close()) }()
	mem, err := array.NewBytes(seg, "", limitMemory, nil)
	if err != nil {
		return Limits{}, err
	}
	defer func() { err = errors.Join(err, mem.Close()) }()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	first := limitJob{Memory: mem, First: true, Pin: pin[:1]}
	second := limitJob{Memory: mem, Pin: pin[1%len(pin):][:1]}
	ps := processes[Limits]{cancel: cancel}
	defer ps.end()
	for _, j := range []limitJob{first, second} {
		call, err := limit.New(j, nil)
		if err != nil {
			return Limits{}, err
		}
		if err := ps.start(ctx, call); err != nil {
			return Limits{}, err
		}
	}
	l, err := ps.calls[0].Result(ctx)
	if err != nil {
		return Limits{}, ps.failure(ctx, err)
	}
	if err := ps.calls[1].Join(ctx); err != nil {
		return Limits{}, ps.failure(ctx, err)
	}
	return l, nil
}

func (j *limitJob) run() (Limits, error) {
	if err := sys.Pin(j.Pin...); err != nil {
		return Limits{}, err
	}
	mem := j.Memory.Raw()
	first, second := view.At[atomic.Uint32](mem, firstWord), view.At[atomic.Uint32](mem, secondWord)
	if !j.First {
		return Limits{}, errors.Join(spinning(second, first).answer(), sleeping(second, first).answer())
	}
	var l Limits
	var err error
	if l.Line, err = spinning(first, second).measure(lineBatch); err != nil {
		return Limits{}, err
	}
	if l.Futex, err = sleeping(first, second).measure(futexBatch); err != nil {
		return Limits{}, err
	}
	l.Copy = copyRate(mem[copyStart:])
	return l, nil
}

// A player passes numbers back and forth with another process, by two words.
type player struct {
	out, in *atomic.Uint32 // what this process writes, and what it reads
	last    uint32         // the last number that it has read
	sleeps  bool           // waits by a futex
}

func spinning(out, in *atomic.Uint32) *player { return &player{out: out, in: in} }

// sleeping returns a player for the numbers after stopWord.
func sleeping(out, in *atomic.Uint32) *player {
	return &player{out: out, in: in, last: stopWord, sleeps: true}
}

// put writes a number.
func (p *player) put(n uint32) error {
	p.out.Store(n)
	if !p.sleeps {
		return nil
	}
	_, err := sys.FutexWake(p.out, 1, false)
	return err
}

// get waits for another number than the last one.
func (p *player) get() (uint32, error) {
	for k := 1; ; k++ {
		n := p.in.Load()
		if n != p.last {
			p.last = n
			return n, nil
		}
		if !p.sleeps {
			pause(k)
		} else if _, err := sys.FutexWait(p.in, n, 0); err != nil {
			return 0, err
		}
	}
}

// answer writes back each number, up to stopWord.
func (p *player) answer() error {
	for {
		n, err := p.get()
		if err == nil {
			err = p.put(n)
		}
		if err != nil || n == stopWord {
			return err
		}
	}
}

// trip writes a number and waits until it has come back.
func (p *player) trip(n uint32) error {
	if err := p.put(n); err != nil {
		return err
	}
	back, err := p.get()
	if err == nil && back != n {
		err = fmt.Errorf("%w: %d came back as %d", ErrVerify, n, back)
	}
	return err
}

// measure returns the time of a round trip, in nanoseconds: the median of batches of round trips. Then it stops the other
// process.
func (p *player) measure(batch int) (float64, error) {
	h := hdrhistogram.New(1, longest, 3) // of whole batches
	begin := time.Now()
	then, first := begin, true
	for n := uint32(0); ; {
		for range batch {
			n++
			if err := p.trip(n); err != nil {
				return 0, err
			}
		}
		now := time.Now()
		if first { // the other process is there, too
			if now.Sub(begin) > limitTime { // so slow that a batch is not needed to measure it
				batch = 1
			}
			begin, then, first = now, now, false
			continue
		}
		record(h, now.Sub(then))
		then = now
		if now.Sub(begin) >= limitTime {
			return float64(h.ValueAtQuantile(50)) / float64(batch), p.trip(stopWord)
		}
	}
}

// copyRate returns how many bytes a second this process copies to a memory.
func copyRate(to []byte) float64 {
	from := make([]byte, copySize)
	for i := range from {
		from[i] = byte(i)
	}
	h := hdrhistogram.New(1, longest, 3)
	begin := time.Now()
	for i, then := 0, begin; ; i++ {
		at := i * copySize % len(to)
		copy(to[at:], from)
		now := time.Now()
		if i*copySize >= len(to) { // all of the memory has been touched
			record(h, now.Sub(then))
			if now.Sub(begin) >= limitTime {
				return copySize * 1e9 / float64(h.ValueAtQuantile(50))
			}
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
