package lock

import (
	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/internal/robust"
	"github.com/seed-2e7ecdea/mp/shm"
)

func init() {
	object.HasStats(shm.KindLock, stats)
	object.HasStats(shm.KindRLock, stats)
}

// stats reads who holds a lock: Words begins with it.
func stats(m object.Memory, s *shm.Stats) { s.Holder = m.PID(uint32(robust.OwnerIn(m.Uint64(0)))) }
