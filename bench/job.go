package bench

import (
	"fmt"
	"io"
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/seed-2e7ecdea/mp/internal/sys"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A job is the argument of a process of a run.
type job struct {
	Scenario Scenario
	Role     role
	Index    int // among the producers or consumers
	Process  int // among all processes
	Segment  *shm.Segment
}

// The names of the queues by which the processes of a run start together. Each puts a signal into the first when it is
// ready, and gets one from the second to start.
const (
	readyName = "ready"
	startName = "start"
)

// A signal carries no data: its arrival is the message.
type signal = uint8

// run is what a process of a run does.
func (j *job) run() (summary, error) {
	if pin := j.Scenario.Pin; len(pin) > 0 {
		if err := sys.Pin(pin[j.Process%len(pin)]); err != nil {
			return summary{}, err
		}
	}
	p, err := findTransport(j.Scenario.Transport).open(j.Segment, j.Scenario, j.Role)
	if err != nil {
		return summary{}, err
	}
	if err := j.awaitStart(); err != nil { // by the default wait policy
		return summary{}, err
	}
	if err := j.Segment.SetWait(j.Scenario.Wait); err != nil {
		return summary{}, err
	}
	before, err := sys.UsageSoFar(false)
	if err != nil {
		return summary{}, err
	}
	a, err := j.perform(p)
	if err != nil {
		return summary{}, err // p stays open: the other processes must not see an end of file
	}
	after, err := sys.UsageSoFar(false)
	if err != nil {
		return summary{}, err
	}
	a.Usage = after.Minus(before)
	return a, p.close()
}

// awaitStart reports that this process is ready, and waits until all are.
func (j *job) awaitStart() error {
	ready, err := ring.OpenQueue[signal](j.Segment, readyName)
	if err != nil {
		return err
	}
	defer ready.Close()
	start, err := ring.OpenQueue[signal](j.Segment, startName)
	if err != nil {
		return err
	}
	defer start.Close()
	if err := ready.Put(background, 0); err != nil {
		return err
	}
	_, err = start.Get(background)
	return err
}

func (j *job) perform(p port) (summary, error) {
	switch j.Role {
	case producer:
		return j.produce(p)
	case consumer:
		return j.consume(p)
	case caller:
		return j.call(p)
	default:
		return j.respond(p)
	}
}

// produce sends the messages of the warm-up, of which the last is marked first, then those that are measured, of
// which the last is marked last.
func (j *job) produce(p port) (summary, error) {
	s := j.Scenario
	n := s.warmUp() // messages sent so far
	if err := p.send(numbered(j.Index, 1), n-1); err != nil {
		return summary{}, err
	}
	if err := p.send(numbered(j.Index, n)|markFirst, 1); err != nil {
		return summary{}, err
	}
	measured := s.share(j.Index)
	switch {
	case s.Messages == 0:
		for begin := time.Now(); time.Since(begin) < s.Duration; n += s.batch() {
			if err := p.send(numbered(j.Index, n+1), s.batch()); err != nil {
				return summary{}, err
			}
		}
	case measured == 0:
		return summary{Count: n}, nil
	default:
		if err := p.send(numbered(j.Index, n+1), measured-1); err != nil {
			return summary{}, err
		}
		n += measured - 1
	}
	n++
	return summary{Count: n}, p.send(numbered(j.Index, n)|markLast, 1)
}

// consume receives messages until the end of file.
func (j *job) consume(p port) (summary, error) {
	var t tally
	count, err := p.receive(&t, math.MaxUint64)
	if err != io.EOF {
		return summary{}, err
	}
	for i := j.Scenario.Producers; i < len(t.last); i++ {
		if t.last[i] != 0 {
			return summary{}, fmt.Errorf("%w: it names producer %d of %d", ErrVerify, i, j.Scenario.Producers)
		}
	}
	return summary{Count: count, Sum: t.sum, Begin: t.begin, End: t.end}, nil
}

// longest is the longest round trip that the histogram can hold, in nanoseconds.
const longest = int64(time.Minute)

// call sends messages that come back. It records a round trip while the next message is under way, so
// that the recording is not measured.
func (j *job) call(p port) (summary, error) {
	s := j.Scenario
	var t tally
	w, warm := numbered(0, 1), s.warmTrips()
	for range warm {
		if err := j.roundTrip(p, &t, &w); err != nil {
			return summary{}, err
		}
	}
	h := hdrhistogram.New(1, longest, 3)
	base := time.Now()
	var took, now time.Duration // by the last round trip; since base
	for n := 0; s.Messages == 0 && now < s.Duration || n < s.Messages; n++ {
		if err := p.send(w, 1); err != nil {
			return summary{}, err
		}
		if n > 0 {
			record(h, took)
		}
		if _, err := p.receive(&t, 1); err != nil {
			return summary{}, err
		}
		then := now
		now = time.Since(base)
		took = now - then
		if t.last[0] != w {
			return summary{}, fmt.Errorf("%w: message %d came back as %d", ErrVerify, w/next, t.last[0]/next)
		}
		w += next
	}
	record(h, took)
	return summary{
		Count: uint64(h.TotalCount()), Begin: 0, End: int64(now),
		P50: h.ValueAtQuantile(50), P90: h.ValueAtQuantile(90), P99: h.ValueAtQuantile(99), P999: h.ValueAtQuantile(99.9),
		Max: h.Max(),
	}, p.send(w|markLast, 1)
}

func (j *job) roundTrip(p port, t *tally, w *number) error {
	err := p.send(*w, 1)
	*w += next
	if err == nil {
		_, err = p.receive(t, 1)
	}
	return err
}

func record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(int64(d), 1), longest)) // it fails only outside this range
}

// respond sends back each message that it receives, except the last.
func (j *job) respond(p port) (summary, error) {
	var t tally
	for n := uint64(0); ; n++ {
		if _, err := p.receive(&t, 1); err != nil {
			return summary{}, err
		}
		if t.end != 0 {
			return summary{Count: n}, nil
		}
		if err := p.send(t.last[0], 1); err != nil {
			return summary{}, err
		}
	}
}
