package bench

import (
	"fmt"

	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// A tally is a receiver's account of the messages that it received.
type tally struct {
	last [256]number // of each producer, without marks
	sum  uint64      // of the numbers, without marks

	// Moments of sys.Monotonic: of the earliest message marked first, and of
	// the latest marked last. 0 if there was none.
	begin, end int64
}

// add enters a message. It does not, and returns false, if that is marked or out
// of order: then addOdd is to be called.
func (t *tally) add(w number) bool {
	last := &t.last[uint8(w)]
	if w-*last-1 >= markLast/2 { // w has a mark, or is not greater than *last
		return false
	}
	*last = w
	t.sum += w
	return true
}

// addOdd enters a marked message. It fails with ErrVerify if that is out of order.
func (t *tally) addOdd(w number) error {
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
		return fmt.Errorf("%w: message %d of producer %d came after %d", ErrVerify, w/next, uint8(w), *last/next)
	}
	*last = w
	t.sum += w
	return nil
}
