package bench

import (
	"fmt"
	"io"
	"math"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/seed-2e7ecdea/mp/internal/fence"
	"github.com/seed-2e7ecdea/mp/internal/sys"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
	"github.com/seed-2e7ecdea/mp/value"
)

// A job is the argument of a process of a run.
type job struct {
	Scenario Scenario
	Role     role
	Index    int // among the producers or consumers
	Process  int // among all processes
	Segment  *shm.Segment

	// base holds when the first message of a Paced run is due. The producer writes it before it sends the last message of
	// the warm-up. All processes share it.
	base *atomic.Uint64
}

// The names of the queues by which the processes of a run start together. Each puts a signal into the first when it is
// ready, and gets one from the second to start.
const (
	readyName = "ready"
	startName = "start"
	baseName  = "base"
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
	base, err := value.OpenUint64(j.Segment, baseName)
	if err != nil {
		return summary{}, err
	}
	defer base.Close()
	j.base = base.Word()
	p, err := findTransport(j.Scenario.Transport).of(j.Scenario).open(j.Segment, j.Scenario, j.Role)
	if err != nil {
		return summary{}, err
	}
	fence.Prepared()                       // until then, publishing is slower
	if err := j.awaitStart(); err != nil { // by the default wait policy
		return summary{}, err
	}
	if err := j.Segment.SetWait(j.Scenario.Wait); err != nil {
		return summary{}, err
	}
	alone := j.Scenario.alone()
	before, err := sys.UsageSoFar(alone)
	if err != nil {
		return summary{}, err
	}
	a, err := j.perform(p)
	if err != nil {
		return summary{}, err // p stays open: the other processes must not see an end of file
	}
	if alone { // by closing p the process waits for its children
		if err := p.close(); err != nil {
			return summary{}, err
		}
	}
	after, err := sys.UsageSoFar(alone)
	if err != nil {
		return summary{}, err
	}
	if j.Scenario.Measure != Idle {
		a.Usage = after.Minus(before)
	}
	if alone {
		return a, nil
	}
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

func (j *job) perform(p port) (a summary, err error) {
	switch j.Role {
	case producer:
		a, err = j.produce(p)
	case consumer:
		a, err = j.consume(p)
	case caller:
		a, err = j.call(p)
	default:
		a, err = j.respond(p)
	}
	a.Role = j.Role
	return a, err
}

// produce sends the messages of the warm-up, of which the last is marked first, then those that are measured, of
// which the last is marked last.
func (j *job) produce(p port) (summary, error) {
	s := j.Scenario
	n := s.warmUp() // messages sent so far
	if err := p.send(numbered(j.Index, 1), n-1); err != nil {
		return summary{}, err
	}
	if s.Measure == Paced {
		if err := j.setBase(); err != nil {
			return summary{}, err
		}
	}
	if err := p.send(numbered(j.Index, n)|markFirst, 1); err != nil {
		return summary{}, err
	}
	began, err := sys.Monotonic()
	if err != nil {
		return summary{}, err
	}
	measured := s.share(j.Index)
	switch {
	case s.Measure == Paced:
		if s.Messages == 0 {
			measured = max(uint64(s.Duration.Seconds()*float64(s.Rate)), 1)
		}
		if err := j.pace(p, n, measured); err != nil {
			return summary{}, err
		}
		return summary{Count: n + measured}, nil
	case s.Measure == Idle:
		time.Sleep(s.Duration)
	case s.Messages == 0:
		warm := n
		for begin := time.Now(); s.goesOn(n-warm, time.Since(begin)); n += s.batch() {
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
	return summary{Count: n, Begin: began}, p.send(numbered(j.Index, n)|markLast, 1)
}

// consume receives messages until the end of file.
func (j *job) consume(p port) (summary, error) {
	var t tally
	var a summary
	var err error
	switch j.Scenario.Measure {
	case Paced:
		a, err = j.receivePaced(p, &t)
	case Idle:
		a, err = receiveIdle(p, &t)
	}
	if err != nil {
		return summary{}, err
	}
	count, err := p.receive(&t, math.MaxUint64)
	if err != io.EOF {
		return summary{}, err
	}
	for i := j.Scenario.Producers; i < len(t.last); i++ {
		if t.last[i] != 0 {
			return summary{}, fmt.Errorf("%w: it names producer %d of %d", ErrVerify, i, j.Scenario.Producers)
		}
	}
	a.Count += count
	a.Sum, a.Begin, a.End = t.sum, t.begin, t.end
	a.Last, a.Loads = t.last[0], t.loads
	return a, nil
}

// longest is the longest round trip that the histogram can hold, in nanoseconds.
const longest = int64(time.Minute)

// call sends messages that come back. It records a round trip while the next message is under way, so
// that the recording is not measured.
func (j *job) call(p port) (summary, error) {
	s := j.Scenario
	if s.Measure == Throughput {
		return j.callMany(p)
	}
	var t tally
	w, warm := numbered(0, 1), s.warmTrips()
	for range warm {
		if err := j.roundTrip(p, &t, &w); err != nil {
			return summary{}, err
		}
	}
	h := hdrhistogram.New(1, longest, 3)
	q, prepares := p.(preparer)
	base := time.Now()
	var took, now, unmeasured time.Duration // by the last round trip; since base; by preparations
	for n := uint64(0); s.goesOn(n, now); n++ {
		if prepares {
			if err := q.prepare(); err != nil {
				return summary{}, err
			}
			then := now
			now = time.Since(base)
			unmeasured += now - then
		}
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
	a := summaryOf(h)
	a.End = int64(now - unmeasured)
	return a, p.send(w|markLast, 1)
}

// window is how many messages callMany has under way.
const window = 64

// callMany sends messages that come back, with many under way at one time.
func (j *job) callMany(p port) (a summary, err error) {
	s := j.Scenario
	var t tally
	sent, received := uint64(0), uint64(0)
	fetch := func() error {
		_, err := p.receive(&t, 1)
		if received++; err == nil && t.last[0] != numbered(0, received) {
			err = fmt.Errorf("%w: message %d came back as %d", ErrVerify, received, t.last[0]/next)
		}
		return err
	}
	warm := s.warmTrips()
	total := warm + uint64(s.Messages) // without a Duration
	var base time.Time                 // when the warm-up ended
	for {
		if received == warm {
			base = time.Now()
		}
		if received >= warm && !s.goesOn(received-warm, time.Since(base)) {
			break
		}
		for sent < received+window && (s.Messages == 0 || sent < total) {
			sent++
			if err := p.send(numbered(0, sent), 1); err != nil {
				return summary{}, err
			}
		}
		if err := fetch(); err != nil {
			return summary{}, err
		}
	}
	a.Count, a.End = received-warm, int64(time.Since(base))
	for received < sent { // they are not measured
		if err := fetch(); err != nil {
			return summary{}, err
		}
	}
	return a, p.send(numbered(0, sent+1)|markLast, 1)
}

// summaryOf returns a summary with the number and the percentiles of a histogram's values.
func summaryOf(h *hdrhistogram.Histogram) summary {
	return summary{
		Count: uint64(h.TotalCount()),
		P50:   h.ValueAtQuantile(50), P90: h.ValueAtQuantile(90), P99: h.ValueAtQuantile(99), P999: h.ValueAtQuantile(99.9),
		Max: h.Max(),
	}
}

func (j *job) roundTrip(p port, t *tally, w *number) error {
	if q, ok := p.(preparer); ok {
		if err := q.prepare(); err != nil {
			return err
		}
	}
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
