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

// subjects are the kinds of objects by name: as they are, and broken.
var subjects = map[string]*subject{
	"lock":                     locks(nil, asIs[locker]),
	"lock_that_ignores_deaths": locks(&psync.Options{IgnoreDeaths: true}, asIs[locker]),
	"semaphore":                semaphores(asIs[semaphore]),
	"bounded_semaphore":        boundeds(asIs[bounded]),
	"event":                    events(asIs[event]),
	"queue_of_1":               queues(1, asIs[queue]),
	"queue_of_3":               queues(3, asIs[queue]),
	"value_of_a_word":          words(asIs[register]),
	"value_of_copies":          wides(asIs[register]),
}

func asIs[T any](_ *hand, object T) T { return object }

func TestLinearizable(t *testing.T) {
	for _, name := range []string{
		"lock", "lock_that_ignores_deaths", "semaphore", "bounded_semaphore", "event", "queue_of_1", "queue_of_3",
		"value_of_a_word", "value_of_copies",
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
			t.Logf("%d histories of %d operations, %d processes killed in them; longest check %v", c.rounds, c.ops, c.killed, longest)
		})
	}
}

// roundsUntilRejected is in how many rounds a broken object must be found
// out.
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
