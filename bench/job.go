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

// A job is what a process of a run is told.
type job struct {
	Scenario Scenario
	Part     part
	Index    int // among the producers or consumers
	Process  int // among all
	Segment  *shm.Segment
}

// The queues by which the processes of a run start together: each says that it
// is ready, and waits for the start.
const (
	readyName = "ready"
	startName = "start"
)

// A signal says nothing but that it came.
type signal = uint8

// do plays the part.
func (j *job) do() (account, error) {
	if pin := j.Scenario.Pin; len(pin) > 0 {
		if err := sys.Pin(pin[j.Process%len(pin)]); err != nil {
			return account{}, err
		}
	}
	p, err := findTransport(j.Scenario.Transport).open(j.Segment, j.Scenario, j.Part)
	if err != nil {
		return account{}, err
	}
	if err := j.meet(); err != nil {
		return account{}, err
	}
	if err := j.Segment.SetWait(j.Scenario.Wait); err != nil {
		return account{}, err
	}
	a, err := j.play(p)
	if err != nil {
		return account{}, err // and the others must not take the end for an orderly one
	}
	return a, p.close()
}

// meet waits for the other processes.
func (j *job) meet() error {
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
	if err := ready.Put(forever, 0); err != nil {
		return err
	}
	_, err = start.Get(forever)
	return err
}

func (j *job) play(p port) (account, error) {
	switch j.Part {
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

// produce sends the warm-up, then what counts.
func (j *job) produce(p port) (account, error) {
	s := j.Scenario
	n := s.warmUp() // so many were sent
	if err := p.send(numbered(j.Index, 1), n-1); err != nil {
		return account{}, err
	}
	if err := p.send(numbered(j.Index, n)|markFirst, 1); err != nil {
		return account{}, err
	}
	measured := s.share(j.Index)
	switch {
	case s.Messages == 0:
		for begin := time.Now(); time.Since(begin) < s.Duration; n += s.batch() {
			if err := p.send(numbered(j.Index, n+1), s.batch()); err != nil {
				return account{}, err
			}
		}
	case measured == 0:
		return account{Count: n}, nil
	default:
		if err := p.send(numbered(j.Index, n+1), measured-1); err != nil {
			return account{}, err
		}
		n += measured - 1
	}
	n++
	return account{Count: n}, p.send(numbered(j.Index, n)|markLast, 1)
}

// consume receives until the end.
func (j *job) consume(p port) (account, error) {
	var t tally
	count, err := p.receive(&t, math.MaxUint64)
	if err != io.EOF {
		return account{}, err
	}
	for i := j.Scenario.Producers; i < len(t.last); i++ {
		if t.last[i] != 0 {
			return account{}, fmt.Errorf("%w: it is of a producer %d", ErrVerify, i)
		}
	}
	return account{Count: count, Sum: t.sum, Begin: t.begin, End: t.end}, nil
}

// longest is the longest round trip that the histogram knows, in nanoseconds.
const longest = int64(time.Minute)

// call sends messages that come back. What has to be done beside that is done
// while a message is under way.
func (j *job) call(p port) (account, error) {
	s := j.Scenario
	var t tally
	w, warm := numbered(0, 1), s.warmTrips()
	for range warm {
		if err := j.trip(p, &t, &w); err != nil {
			return account{}, err
		}
	}
	h := hdrhistogram.New(1, longest, 3)
	base := time.Now()
	var took, now time.Duration // the last trip, and since base
	for n := 0; s.Messages == 0 && now < s.Duration || n < s.Messages; n++ {
		if err := p.send(w, 1); err != nil {
			return account{}, err
		}
		if n > 0 {
			record(h, took)
		}
		if _, err := p.receive(&t, 1); err != nil {
			return account{}, err
		}
		then := now
		now = time.Since(base)
		took = now - then
		if t.last[0] != w {
			return account{}, fmt.Errorf("%w: message %d came back as %d", ErrVerify, w/next, t.last[0]/next)
		}
		w += next
	}
	record(h, took)
	return account{
		Count: uint64(h.TotalCount()), Begin: 0, End: int64(now),
		P50: h.ValueAtQuantile(50), P90: h.ValueAtQuantile(90), P99: h.ValueAtQuantile(99), P999: h.ValueAtQuantile(99.9),
		Max: h.Max(),
	}, p.send(w|markLast, 1)
}

func (j *job) trip(p port, t *tally, w *number) error {
	err := p.send(*w, 1)
	*w += next
	if err == nil {
		_, err = p.receive(t, 1)
	}
	return err
}

func record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(int64(d), 1), longest)) // it fails out of this range only
}

// respond sends back what it receives, until the last.
func (j *job) respond(p port) (account, error) {
	var t tally
	for n := uint64(0); ; n++ {
		if _, err := p.receive(&t, 1); err != nil {
			return account{}, err
		}
		if t.end != 0 {
			return account{Count: n}, nil
		}
		if err := p.send(t.last[0], 1); err != nil {
			return account{}, err
		}
	}
}
