package sync

// Unstall ends a stall as a reader does that takes the writer for a dead one. It
// tells whether there was one.
func (l *RWLock) Unstall() bool {
	c := l.ref.Load()
	p := c.load()
	return p.state() == rwStalled && c.free(p)
}
