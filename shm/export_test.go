package shm

// Flags returns the number of objects that have given a flag to AtClose and are not collected yet.
func Flags(s *Segment) int {
	a := s.a.Load()
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.flags)
}

// Living returns how many processes a waiter of the segment knows of, this one included.
func Living(s *Segment) int {
	t := s.a.Load().table
	t.Watch(t.Epoch().Load())
	return t.Living()
}

// Closing returns the number of closed objects that are not collected yet.
func Closing(s *Segment) (n int) {
	a := s.a.Load()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range a.closings.list {
		n += c.n
	}
	return n
}
