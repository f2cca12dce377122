package shm

// Flags returns how many Objects have given flags to AtClose and are in use.
func Flags(s *Segment) int {
	a := s.a.Load()
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.flags)
}
