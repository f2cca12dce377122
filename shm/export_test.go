package shm

// Flags returns how many Objects have given flags to AtClose and are in use.
func Flags(s *Segment) int {
	a := s.a.Load()
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.flags)
}

// Closing returns how many Objects were closed that the garbage collector has not
// found since.
func Closing(s *Segment) (n int) {
	a := s.a.Load()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range a.closings.list {
		n += c.n
	}
	return n
}
