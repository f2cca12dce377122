package bench

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// lead is the time between the end of the warm-up and the moment at which the first paced message is due.
const lead = time.Millisecond

// setBase tells the consumer when the first message is due.
func (j *job) setBase() error {
	now, err := sys.Now()
	j.base.Store(uint64(now + int64(lead)))
	return err
}

// due returns when message i of those that are measured, counted from 0, is due, by sys.Now.
func (j *job) due(i uint64) int64 {
	rate := uint64(j.Scenario.Rate)
	whole, rest := i/rate, i%rate
	return int64(j.base.Load() + whole*uint64(time.Second) + rest*uint64(time.Second)/rate)
}

// pace sends the messages that are measured, after n of the warm-up, each when it is due. If one cannot be sent in time, the
// next ones follow at once. They stay due when they were: so a transport that stalls is charged for all messages that
// had to wait, not for one.
func (j *job) pace(p port, n, measured uint64) error {
	for i := range measured {
		if err := awaitMoment(j.due(i)); err != nil {
			return err
		}
		w := numbered(j.Index, n+i+1)
		if i == measured-1 {
			w |= markLast
		}
		if err := p.send(w, 1); err != nil {
			return err
		}
	}
	return nil
}

// awaitMoment waits until a moment by sys.Now. It sleeps if that is far away, and spins for the rest.
func awaitMoment(at int64) error {
	const spin = 200 * time.Microsecond
	for k := 1; ; k++ {
		now, err := sys.Now()
		left := time.Duration(at - now)
		switch {
		case err != nil || left <= 0:
			return err
		case left > 2*spin:
			time.Sleep(left - spin)
		default:
			pause(k)
		}
	}
}

// receivePaced receives the warm-up and the messages that are measured, and records how long after it was due each arrived.
func (j *job) receivePaced(p port, t *tally) (summary, error) {
	received := uint64(0)
	for ; t.begin == 0; received++ {
		if _, err := p.receive(t, 1); err != nil {
			return summary{}, early(err)
		}
	}
	h := hdrhistogram.New(1, longest, 3)
	for i := uint64(0); t.end == 0; i++ {
		if _, err := p.receive(t, 1); err != nil {
			return summary{}, early(err)
		}
		now, err := sys.Now()
		if err != nil {
			return summary{}, err
		}
		record(h, time.Duration(now-j.due(i)))
		received++
	}
	a := summaryOf(h)
	a.Count = received
	return a, nil
}

// receiveIdle receives the warm-up, and then one message, for which it waits long. It returns what this process used
// meanwhile.
func receiveIdle(p port, t *tally) (summary, error) {
	received := uint64(0)
	for ; t.begin == 0; received++ {
		if _, err := p.receive(t, 1); err != nil {
			return summary{}, early(err)
		}
	}
	before, err := sys.UsageSoFar(false)
	if err != nil {
		return summary{}, err
	}
	if _, err := p.receive(t, 1); err != nil {
		return summary{}, early(err)
	}
	after, err := sys.UsageSoFar(false)
	return summary{Count: received + 1, Usage: after.Minus(before)}, err
}

// early returns the error of a receive that should have received a message: the end of file is not expected.
func early(err error) error { return fmt.Errorf("before the last message: %w", err) }
