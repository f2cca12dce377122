package sync

// Unstall makes a STALLED phase FREE, as a reader does that takes the writer for dead. It reports
// whether the phase was STALLED.
func (l *RWLock) Unstall() bool {
	c := l.ref.Load()
	p := c.load()
	return p.state() == rwStalled && c.free(p)
}
