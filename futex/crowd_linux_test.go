package futex_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/seed-2e7ecdea/mp/internal/wait"
)

// A ticket waits until a counter has reached n.
type ticket struct {
	gate *wait.Gate
	now  *atomic.Uint32
	n    uint32
}

func (k ticket) Try() (bool, error)      { return k.now.Load() >= k.n, nil }
func (k ticket) Arm() (wait.Armed, bool) { return k.gate.Arm(), true }
func (k ticket) Pass(woken, done bool) {
	if woken {
		k.gate.Pass()
	}
}

// More goroutines wait on several words than may each sleep on a thread of their own.
func TestCrowd(t *testing.T) {
	eachWay(t, func(t *testing.T) {
		const perGate, rounds = 60, 5
		room := &wait.Room{Epoch: new(atomic.Uint32), Watch: func(uint32) {}}
		room.SetPolicy(wait.Block)
		var gates [4]wait.Gate
		var now [len(gates)]atomic.Uint32
		ctx, cancel := context.WithCancel(t.Context())
		done, cancelled := make(chan error, perGate), make(chan error, perGate)
		for i := range gates {
			for range perGate {
				go func() {
					k := ticket{&gates[i], &now[i], 0}
					for range rounds {
						k.n++
						done <- room.Await(within(t), new(wait.Spinner), k)
					}
					k.n++
					cancelled <- room.Await(ctx, new(wait.Spinner), k)
				}()
			}
		}
		for range rounds {
			for i := range gates {
				now[i].Add(1)
				gates[i].NotifyAll()
			}
			for range len(gates) * perGate {
				if err := await(t, done, "waiter"); err != nil {
					t.Error(err)
				}
			}
		}
		cancel()
		for range len(gates) * perGate {
			if err := await(t, cancelled, "cancelled waiter"); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
	})
}
