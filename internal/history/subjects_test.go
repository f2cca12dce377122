//go:build linux

package history_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	psync "github.com/seed-2e7ecdea/mp/sync"
)

// subjects are the objects under test by name. The broken objects of broken_test.go are added to them.
var subjects = map[string]*subject{
	"lock":                     locks(nil, unwrapped[locker]),
	"lock_that_ignores_deaths": locks(&psync.Options{IgnoreDeaths: true}, unwrapped[locker]),
	"semaphore":                semaphores(unwrapped[semaphore]),
	"bounded_semaphore":        boundeds(unwrapped[bounded]),
	"event":                    events(unwrapped[event]),
	"queue_of_1":               queues(1, unwrapped[queue]),
	"queue_of_3":               queues(3, unwrapped[queue]),
	"queue_in_batches":         batches(3, unwrapped[batchQueue]),
	"queue_of_long_strings":    texts(3, unwrapped[queue]),
	"queue_with_leases":        leases(3, unwrapped[lessor]),
	"value_of_a_word":          words(unwrapped[register]),
	"value_of_copies":          wides(unwrapped[register]),
}

func unwrapped[T any](_ *client, object T) T { return object }

func TestLinearizable(t *testing.T) {
	for _, name := range []string{
		"lock", "lock_that_ignores_deaths", "semaphore", "bounded_semaphore", "event", "queue_of_1", "queue_of_3",
		"queue_in_batches", "queue_of_long_strings", "queue_with_leases", "value_of_a_word", "value_of_copies",
	} {
		t.Run(name, func(t *testing.T) {
			c := newCrew(t, name)
			var longest time.Duration
			for begin := time.Now(); time.Since(begin) < *duration; {
				h := c.work()
				checking := time.Now()
				if res := c.subject.check(h); res != porcupine.Ok {
					t.Fatalf("round %d is %v:\n%s", c.round, res, c.subject.explain(h))
				}
				longest = max(longest, time.Since(checking))
			}
			t.Logf("%d histories of %d operations, %d processes killed and %d stopped in them; longest check %v", c.rounds, c.ops, c.killed, c.stopped, longest)
		})
	}
}

// roundsUntilRejected is the number of rounds within which a history of a broken object must be rejected.
const roundsUntilRejected = 300

// TestBroken shows that the histories of broken objects are rejected.
func TestBroken(t *testing.T) {
	slices.Sort(broken)
	for _, name := range broken {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			c := newCrew(t, name)
			for range roundsUntilRejected {
				switch res := c.subject.check(c.work()); res {
				case porcupine.Illegal:
					t.Logf("rejected in round %d, after %d operations", c.rounds, c.ops)
					return
				case porcupine.Unknown:
					t.Fatalf("round %d is neither accepted nor rejected", c.round)
				}
			}
			t.Errorf("not rejected in %d histories of %d operations", c.rounds, c.ops)
		})
	}
}
