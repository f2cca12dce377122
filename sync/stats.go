package sync

import (
	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/shm"
)

func init() {
	// semaphoreWords begins with the number of free permits.
	object.HasStats(shm.KindSemaphore, func(m object.Memory, s *shm.Stats) { s.Depth = uint64(m.Uint32(0)) })
}
