package sync

// Waiting returns the number of living waiters. Used returns the number of slots that were ever
// used.
func (c *Condition) Waiting() int  { return c.ref.Load().waiting() }
func (c *RCondition) Waiting() int { return c.ref.Load().waiting() }
func (c *Condition) Used() int     { return len(c.ref.Load().used()) }

func (c *conditionCore) waiting() (n int) {
	used := c.used()
	for i := range used {
		if c.waits(used[i].word.Load()) {
			n++
		}
	}
	return n
}
