package ring

// A walk bounds a walk over the slots of a ring to the first one that no process has claimed. If the
// states of the slots contradict each other, it might never end.
//
// Beside processes that claim slots as fast as it goes, a correct walk can be of any length. So the
// bound is for the steps since the last sign that another process has gone on. In memory that nobody
// writes there is no such sign, and each slot counts as claimed in the walk's own lap only once.
type walk struct{ steps, most int }

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

// near takes a step back: it led to a slot that another process has claimed in the same lap, so the
// walk may be close behind that process.
func (w *walk) near() { w.steps-- }
