package wait

import "math/rand/v2"

// tries are the tries of some cases.
type tries struct {
	cases  []*Case
	first  int   // the case that was tried first
	chosen int   // the case that has ended the wait
	err    error // of its try
}

// tryAll tries the cases from a random one on, so that a case that can always be done does not
// starve the others. It reports whether one of them has ended the wait.
func (t *tries) tryAll() bool {
	if len(t.cases) == 0 {
		return false
	}
	t.first = rand.IntN(len(t.cases))
	for n := range t.cases {
		i := (t.first + n) % len(t.cases)
		if over, err := t.cases[i].try(); over {
			t.chosen, t.err = i, err
			return true
		}
	}
	return false
}

// tried reports whether tryAll has tried case i, after it has returned true.
func (t *tries) tried(i int) bool {
	n := len(t.cases)
	return (i-t.first+n)%n <= (t.chosen-t.first+n)%n
}

// result returns the error of the chosen case.
func (t *tries) result() error { return t.cases[t.chosen].Result(t.err) }
