package shm

import (
	"fmt"
	"sync"
)

// ownSegment is the program's own segment: see Segment.
var ownSegment struct {
	sync.Mutex
	s *Segment // nil until it is first used
}

// own returns the program's own segment. It makes the segment at the first call.
func own() (*Segment, error) {
	ownSegment.Lock()
	defer ownSegment.Unlock()
	if ownSegment.s == nil {
		s, err := anonymous(0, nil)
		if err != nil {
			return nil, fmt.Errorf("the program's own segment can't be made: %w", err)
		}
		s.a.Load().own = true
		ownSegment.s = s
	}
	return ownSegment.s, nil
}
