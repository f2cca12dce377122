package shm

import (
	"fmt"
	"sync"
)

// The program's own segment: see Segment.
var ownSegment struct {
	sync.Mutex
	s *Segment
}

// own returns the program's own segment, and makes it if need be.
func own() (*Segment, error) {
	ownSegment.Lock()
	defer ownSegment.Unlock()
	if ownSegment.s == nil {
		s, err := Anonymous(0, nil)
		if err != nil {
			return nil, fmt.Errorf("shm: the program's own segment: %w", err)
		}
		s.a.Load().own = true
		ownSegment.s = s
	}
	return ownSegment.s, nil
}
