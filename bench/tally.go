package bench

import (
	"fmt"

	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// A tally counts and checks the messages that a receiver has received.
type tally struct {
	last [256]number // the last number of each producer, without marks
	sum  uint64      // sum of the numbers, without marks

	// When the earliest message marked first and the latest marked last were received, by
	// sys.Monotonic. 0 if there was none.
	begin, end int64

	loads uint64 // how often a value was loaded, whether it was new or not
}

// enterEnds enters the message that begins with first and ends with last. It returns ErrVerify if these differ, or if
// the message is out of order.
func (t *tally) enterEnds(first, last number) error {
	switch {
	case first != last:
		return damaged(0, 0, first)
	case t.add(first):
		return nil
	}
	return t.addMarked(first)
}

// enter enters message w. It returns ErrVerify if w is out of order.
func (t *tally) enter(w number) error {
	if t.add(w) {
		return nil
	}
	return t.addMarked(w)
}

// add enters message w. If w is marked or out of order, add enters nothing and returns false: the caller then
// calls addMarked.
func (t *tally) add(w number) bool {
	last := &t.last[uint8(w)]
	if w-*last-1 >= markLast/2 { // w has a mark, or is not greater than *last
		return false
	}
	*last = w
	t.sum += w
	return true
}

// addMarked enters a message that may be marked. It returns ErrVerify if w is out of order.
func (t *tally) addMarked(w number) error {
	now, err := sys.Monotonic()
	if err != nil {
		return err
	}
	if w&markFirst != 0 && t.begin == 0 {
		t.begin = now
	}
	if w&markLast != 0 {
		t.end = now
	}
	w &^= marks
	last := &t.last[uint8(w)]
	if w <= *last {
		return fmt.Errorf("%w: message %d of producer %d arrived after message %d", ErrVerify, w/next, uint8(w), *last/next)
	}
	*last = w
	t.sum += w
	return nil
}
