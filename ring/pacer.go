package ring

import (
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/cpu"
	"github.com/seed-2e7ecdea/mp/internal/fence"
)

// A pacer keeps a receiver from polling the cache line that a busy sender writes. A receiver that
// has caught up with a sender of message after message would take that line away from the sender
// for each message anew.
type pacer struct {
	caught atomic.Uint64 // position of the receiver when it last found nothing
}

const (
	streamRun     = 8  // this many messages in a row, without a pause between them, are a stream
	backoffPauses = 64 // one to three microseconds: time for the sender to get some messages ahead
)

// backOff is called by a receiver that has come to position at and finds nothing. If the receiver
// has advanced by more than far since the last call, backOff pauses for a moment before it returns.
// It reports whether it paused.
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
