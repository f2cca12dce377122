package ring

import (
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/cpu"
	"github.com/seed-2e7ecdea/mp/internal/fence"
)

// A pacer keeps a receiver from polling the line that a busy sender writes. A receiver that has caught up with a sender
// of message after message would take that cache line from it for each of them.
type pacer struct {
	caught atomic.Uint64 // position of the receiver when it found nothing the last time
}

const (
	streamRun     = 8  // as many messages without a pause between them are a stream
	backoffPauses = 64 // until the sender is some messages ahead: one to three microseconds
)

// backOff is called by a receiver that has come to position at and finds nothing. If it has come further
// than by far since the last call, it leaves the sender alone for a moment. backOff reports whether it did.
func (p *pacer) backOff(at, far uint64) bool {
	since := at - p.caught.Load()
	fence.Publish64(&p.caught, at)
	if since <= far {
		return false
	}
	for range backoffPauses {
		cpu.Pause()
	}
	return true
}
