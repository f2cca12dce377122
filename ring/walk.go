package ring

// A walk bounds a walk over the slots of a ring to the first one that no process has claimed. If the
// states of the slots contradict each other, it might never end.
//
// Beside processes that claim slots as fast as it goes, a correct walk can be of any length. So the
// bound is for the steps since the last sign that another process has gone on. In memory that nobody
// writes there is no such sign, and each slot counts as claimed in the walk's own lap only once.
type walk struct {
	steps, most int
	cursor      uint64   // the shared cursor, as the walk has last seen it or left it
	met         position // the last one of nearAt
}

// walkOver returns the most steps of a walk over count slots.
func walkOver(count uint32) int { return 4*int(count) + 1024 }

// next counts a step. It returns false if there were too many.
func (w *walk) next() bool {
	w.steps++
	return w.steps <= w.most
}

// progress begins to count anew: the walk has lost a race for a slot, or a shared cursor has
// overtaken it.
func (w *walk) progress() { w.steps = 0 }

// sees looks at the shared cursor. If others have moved it, they have gone on, although they need not have got
// past the walk: in a ring of few slots they can be more than a lap ahead while the cursor is at the walk's heels.
func (w *walk) sees(cursor uint64) {
	if cursor != w.cursor {
		w.cursor = cursor
		w.progress()
	}
}

// near takes a step back: it led to a slot that another process has claimed in the same lap, so the
// walk may be close behind that process.
func (w *walk) near() { w.steps-- }

// nearAt is near for a slot at pos. If the walk has met that slot in an earlier lap, others have gone on since: a
// slot that stays as it is counts as claimed in the walk's own lap only once.
func (w *walk) nearAt(pos position) {
	w.near()
	if pos.slot() == w.met.slot() && pos.lap() > w.met.lap() {
		w.progress()
	}
	w.met = pos
}
