package ring

import (
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/cpu"
	"github.com/seed-2e7ecdea/mp/internal/fence"
)

// heels is what a receiver knows of itself that may follow its sender too
// closely. Who receives at the heels of one that sends message after message takes
// from it, for each of them, the cache line that it is writing.
type heels struct {
	caught atomic.Uint64 // where the receiver stood when it found nothing the last time
}

const (
	row    = 8  // so many messages without a pause between them are a stream
	behind = 64 // pauses until there are more of it: one to three microseconds
)

// fallBehind is called by a receiver that stands at at and finds nothing. It
// leaves the sender alone for a while if the receiver has come further than by
// far since it was called last, and tells whether it did.
func (h *heels) fallBehind(at, far uint64) bool {
	since := at - h.caught.Load()
	fence.Publish64(&h.caught, at)
	if since <= far {
		return false
	}
	for range behind {
		cpu.Pause()
	}
	return true
}
