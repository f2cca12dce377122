package bench

import (
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/sys"
)

func TestDue(t *testing.T) {
	j := &job{Scenario: Scenario{Rate: 3}, base: new(atomic.Uint64)}
	j.base.Store(1000)
	for i, want := range map[uint64]int64{0: 1000, 1: 333334333, 3: 1000001000, 3e9: 1e18 + 1000} {
		if got := j.due(i); got != want {
			t.Errorf("message %d is due at %d, want %d", i, got, want)
		}
	}
}

// A listPort receives the messages of a list.
type listPort []number

func (p *listPort) send(number, uint64) error { return nil }
func (p *listPort) close() error              { return nil }

func (p *listPort) receive(t *tally, _ uint64) (uint64, error) {
	if len(*p) == 0 {
		return 0, io.EOF
	}
	w := (*p)[0]
	*p = (*p)[1:]
	return 1, t.enter(w)
}

// TestPacedLate receives at once 1,000 messages that were due one by one in the last second. Each is as late as it is, not
// only the first.
func TestPacedLate(t *testing.T) {
	const n = 1000
	now, err := sys.Now()
	if err != nil {
		t.Fatal(err)
	}
	j := &job{Scenario: Scenario{Rate: n}, base: new(atomic.Uint64)}
	j.base.Store(uint64(now - int64(time.Second)))
	p := listPort{numbered(0, 1) | markFirst}
	for i := range uint64(n) {
		p = append(p, numbered(0, i+2))
	}
	p[n] |= markLast
	a, err := j.receivePaced(&p, new(tally))
	if err != nil || a.Count != n+1 {
		t.Fatalf("received %d messages, %v", a.Count, err)
	}
	if least := int64(499 * time.Millisecond); a.P50 < least || a.P99 < 2*least*98/100 || a.Max < a.P99 {
		t.Errorf("late by %d ns in the median, %d in the 99th percentile, %d at most; want at least %d and about twice that",
			a.P50, a.P99, a.Max, least)
	}
	q := listPort{numbered(0, 1) | markFirst}
	if _, err := j.receivePaced(&q, new(tally)); err == nil {
		t.Error("no error, though the last message is missing")
	}
}
