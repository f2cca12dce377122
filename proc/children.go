package proc

import (
	"iter"
	"slices"
	"sync"
)

// children holds the processes that were started and have not ended, in the
// order in which they were started.
var children struct {
	mu   sync.Mutex
	list []*Process
}

// Children yields the children of this process that were started and have not ended, oldest first,
// as they are when the loop begins. The package reaps children that have ended, also without a call
// of Join: no zombie is left.
func Children() iter.Seq[*Process] {
	return func(yield func(*Process) bool) {
		children.mu.Lock()
		list := slices.Clone(children.list)
		children.mu.Unlock()
		for _, p := range list {
			if !yield(p) {
				return
			}
		}
	}
}

func addChild(p *Process) {
	children.mu.Lock()
	defer children.mu.Unlock()
	children.list = append(children.list, p)
}

func removeChild(p *Process) {
	children.mu.Lock()
	defer children.mu.Unlock()
	if i := slices.Index(children.list, p); i >= 0 {
		children.list = slices.Delete(children.list, i, i+1)
	}
}
