//go:build linux

package history_test

import (
	"strings"
	"testing"

	"github.com/anishathalye/porcupine"
)

// did returns an operation of a process, called and returned at two ticks. n is the argument of a Put or Release, or the
// result of a Get, Value, Load or IsSet.
func did(process int, from, to uint64, k kind, r result, n uint32) op {
	o := op{process: process, called: from, returned: to, kind: k, result: r}
	switch k {
	case tryGet, get, count, load, isSet:
		o.value = n
	default:
		o.arg = n
	}
	return o
}

// dead returns an operation whose process was killed in it.
func dead(process int, from, to uint64, k kind, n uint32) op {
	o := did(process, from, to, k, ok, 0)
	o.arg, o.pending = n, true
	return o
}

// long returns o, marked as one that waited for longer than hasWaited.
func long(o op) op {
	o.waited = true
	return o
}

// TestModels checks which histories with deaths and concurrent operations the models accept.
func TestModels(t *testing.T) {
	const accepted, rejected = porcupine.Ok, porcupine.Illegal
	for _, test := range []struct {
		subject, name string
		ops           []op
		deaths        []death
		want          porcupine.CheckResult
	}{
		{"lock", "killed inside, taken", []op{dead(1, 1, 5, acquire, 0), did(2, 8, 9, tryAcquire, ownerDied, 0)},
			[]death{{1, 2, 7}}, accepted},
		{"lock", "killed inside, not taken", []op{dead(1, 1, 5, acquire, 0), did(2, 8, 9, tryAcquire, ok, 0)},
			[]death{{1, 2, 7}}, accepted},
		{"lock", "killed inside, taken after the end", []op{
			dead(1, 1, 5, acquire, 0), did(2, 8, 9, tryAcquire, ok, 0), did(2, 10, 11, release, ok, 0), did(2, 12, 13, tryAcquire, ownerDied, 0),
		}, []death{{1, 2, 7}}, rejected},
		{"lock", "owner killed, held until it is known", []op{
			did(1, 1, 2, acquire, ok, 0), did(2, 4, 5, tryAcquire, held, 0), did(2, 9, 10, tryAcquire, ownerDied, 0),
		}, []death{{1, 3, 8}}, accepted},
		{"lock", "owner killed, held when it is known", []op{did(1, 1, 2, acquire, ok, 0), did(2, 9, 10, tryAcquire, held, 0)},
			[]death{{1, 3, 8}}, rejected},
		{"lock", "owner killed, taken", []op{did(1, 1, 2, acquire, ok, 0), did(2, 9, 10, tryAcquire, ok, 0)},
			[]death{{1, 3, 8}}, rejected},
		{"lock_that_ignores_deaths", "owner killed, taken", []op{did(1, 1, 2, acquire, ok, 0), did(2, 9, 10, tryAcquire, ok, 0)},
			[]death{{1, 3, 8}}, accepted},
		{"lock", "owner lives, reported dead", []op{did(1, 1, 2, acquire, ok, 0), did(2, 3, 4, tryAcquire, ownerDied, 0)},
			[]death{{1, 5, 8}}, rejected},
		{"lock", "repaired", []op{
			did(1, 1, 2, acquire, ok, 0), did(2, 9, 10, recover_, repairs, 0), did(2, 11, 12, repaired, ok, 0), did(3, 13, 14, tryAcquire, ok, 0),
		}, []death{{1, 3, 8}}, accepted},
		{"lock", "not repaired", []op{
			did(1, 1, 2, acquire, ok, 0), did(2, 9, 10, recover_, repairs, 0), did(2, 11, 12, repaired, failed, 1), did(3, 13, 14, tryAcquire, ok, 0),
		}, []death{{1, 3, 8}}, rejected},
		{"lock", "handed over to a process that has not noticed", []op{
			did(1, 1, 4, acquire, ok, 0), long(did(2, 3, 9, acquire, ok, 0)), did(1, 5, 6, release, ok, 0), did(3, 7, 8, tryAcquire, held, 0),
		}, nil, accepted},
		{"lock", "free, reported held", []op{
			did(1, 1, 4, acquire, ok, 0), did(1, 5, 6, release, ok, 0), did(3, 7, 8, tryAcquire, held, 0), did(2, 9, 10, acquire, ok, 0),
		}, nil, rejected},

		{"semaphore", "killed inside, or not", []op{dead(1, 1, 5, tryAcquire, 0), did(2, 6, 7, count, ok, 2), did(2, 8, 9, count, ok, 2)},
			nil, accepted},
		{"semaphore", "killed inside, twice", []op{dead(1, 1, 5, tryAcquire, 0), did(2, 6, 7, count, ok, 1)}, nil, rejected},
		{"semaphore", "permits of the dead", []op{did(1, 1, 2, acquire, ok, 0), did(2, 6, 7, count, ok, 3)}, []death{{1, 3, 4}}, rejected},

		{"bounded_semaphore", "permits of the dead, late", []op{
			did(1, 1, 2, acquire, ok, 0), did(2, 4, 5, count, ok, 2), did(2, 6, 7, count, ok, 3), did(2, 9, 10, count, ok, 3),
		}, []death{{1, 3, 8}}, accepted},
		{"bounded_semaphore", "permits of the dead, too late", []op{did(1, 1, 2, acquire, ok, 0), did(2, 9, 10, count, ok, 2)},
			[]death{{1, 3, 8}}, rejected},
		{"bounded_semaphore", "permits of the dead, gone again", []op{
			did(1, 1, 2, acquire, ok, 0), did(2, 4, 5, count, ok, 3), did(2, 6, 7, count, ok, 2),
		}, []death{{1, 3, 8}}, rejected},
		{"bounded_semaphore", "permit of another", []op{did(1, 1, 2, acquire, ok, 0), did(2, 3, 4, release, ok, 1)}, nil, rejected},

		{"event", "set and cleared during the wait", []op{did(1, 1, 8, wait, ok, 0), did(2, 2, 3, set, ok, 0), did(2, 4, 5, clear_, ok, 0)},
			nil, accepted},
		{"event", "cleared before the wait", []op{did(2, 2, 3, set, ok, 0), did(2, 4, 5, clear_, ok, 0), did(1, 6, 8, wait, ok, 0)},
			nil, rejected},
		{"event", "killed inside Set", []op{dead(1, 1, 5, set, 0), did(2, 2, 3, isSet, ok, 0), did(2, 6, 7, isSet, ok, 1)}, nil, accepted},
		{"event", "set after the death of its process", []op{dead(1, 1, 5, set, 0), did(2, 6, 7, isSet, ok, 0), did(2, 8, 9, isSet, ok, 1)}, nil, rejected},

		{"queue_of_3", "in order", []op{did(1, 1, 2, put, ok, 7), did(1, 3, 4, put, ok, 8), did(2, 5, 6, get, ok, 7), did(2, 7, 8, get, ok, 8)},
			nil, accepted},
		{"queue_of_3", "out of order", []op{did(1, 1, 2, put, ok, 7), did(1, 3, 4, put, ok, 8), did(2, 5, 6, get, ok, 8), did(2, 7, 8, get, ok, 7)},
			nil, rejected},
		{"queue_of_3", "killed inside Get: late", []op{
			did(1, 1, 2, put, ok, 7), did(1, 3, 4, put, ok, 8), dead(3, 5, 7, get, 0), did(2, 5, 6, get, ok, 8), did(2, 11, 12, get, ok, 7),
		}, []death{{3, 6, 9}}, accepted},
		{"queue_of_3", "killed inside Get: late, before its death", []op{
			did(1, 1, 2, put, ok, 7), did(1, 3, 4, put, ok, 8), dead(3, 5, 14, get, 0), did(2, 6, 7, get, ok, 8), did(2, 8, 9, get, ok, 7),
		}, []death{{3, 13, 15}}, rejected},
		{"queue_of_3", "killed inside Get: missing", []op{did(1, 1, 2, put, ok, 7), dead(3, 5, 7, get, 0), did(2, 11, 12, tryGet, empty, 0)},
			[]death{{3, 6, 9}}, accepted},
		{"queue_of_3", "killed inside Get: two missing", []op{
			did(1, 1, 2, put, ok, 7), did(1, 3, 4, put, ok, 8), dead(3, 5, 7, get, 0), did(2, 11, 12, tryGet, empty, 0),
		}, []death{{3, 6, 9}}, rejected},
		{"queue_of_3", "killed inside Get: late and empty", []op{
			did(1, 1, 2, put, ok, 7), dead(3, 5, 7, get, 0), did(2, 11, 12, tryGet, empty, 0), did(2, 13, 14, tryGet, ok, 7),
		}, []death{{3, 6, 9}}, rejected},
		{"queue_of_3", "killed inside Get: twice", []op{
			did(1, 1, 2, put, ok, 7), dead(3, 5, 7, get, 0), did(2, 11, 12, tryGet, ok, 7), did(2, 13, 14, tryGet, ok, 7),
		}, []death{{3, 6, 9}}, rejected},
		{"queue_of_3", "killed inside Put: delivered", []op{dead(3, 5, 7, put, 7), did(2, 11, 12, tryGet, ok, 7), did(2, 13, 14, tryGet, empty, 0)},
			[]death{{3, 6, 9}}, accepted},
		{"queue_of_3", "killed inside Put: twice", []op{dead(3, 5, 7, put, 7), did(2, 11, 12, tryGet, ok, 7), did(2, 13, 14, tryGet, ok, 7)},
			[]death{{3, 6, 9}}, rejected},
		{"queue_of_3", "killed inside Put: delivered after it was missing", []op{dead(3, 5, 7, put, 7), did(2, 11, 12, tryGet, empty, 0), did(2, 13, 14, tryGet, ok, 7)},
			[]death{{3, 6, 9}}, rejected},
		{"queue_of_1", "killed inside Put: its slot is taken until the death", []op{
			dead(3, 1, 7, put, 7), did(2, 2, 3, tryPut, full, 8), did(2, 4, 5, tryGet, empty, 0), did(2, 11, 12, tryPut, ok, 9),
		}, []death{{3, 6, 9}}, accepted},
		{"queue_of_1", "killed inside Put: its slot is taken for ever", []op{
			dead(3, 1, 7, put, 7), did(2, 11, 12, tryPut, full, 8), did(2, 13, 14, tryGet, empty, 0),
		}, []death{{3, 6, 9}}, rejected},
		{"queue_of_3", "busy during a Put", []op{did(1, 1, 8, put, ok, 7), did(2, 2, 3, put, ok, 8), did(3, 4, 5, tryGet, busy, 0)}, nil, accepted},
		{"queue_of_3", "busy without a Put", []op{did(1, 1, 2, put, ok, 7), did(3, 4, 5, tryGet, busy, 0)}, nil, rejected},
		{"queue_of_1", "full during a Get", []op{did(1, 1, 2, put, ok, 7), did(2, 3, 8, get, ok, 7), did(1, 4, 5, tryPut, full, 8)}, nil, accepted},
		{"queue_of_1", "full after a Get", []op{did(1, 1, 2, put, ok, 7), did(2, 3, 4, get, ok, 7), did(1, 5, 6, tryPut, full, 8)}, nil, rejected},

		{"queue_in_batches", "put in order", []op{
			did(1, 1, 5, put, ok, 7), did(1, 2, 6, put, ok, 8), did(2, 7, 8, tryGet, ok, 7), did(2, 9, 10, tryGet, ok, 8),
		}, nil, accepted},
		{"queue_in_batches", "put in reverse", []op{
			did(1, 1, 5, put, ok, 7), did(1, 2, 6, put, ok, 8), did(2, 7, 8, tryGet, ok, 8), did(2, 9, 10, tryGet, ok, 7),
		}, nil, rejected},
		{"queue_in_batches", "got in reverse", []op{
			did(1, 1, 2, put, ok, 7), did(1, 3, 4, put, ok, 8), did(2, 5, 7, get, ok, 8), did(2, 6, 8, get, ok, 7),
		}, nil, rejected},
		{"queue_in_batches", "killed inside PutMany: the second is missing", []op{
			dead(1, 1, 5, put, 7), dead(1, 2, 5, put, 8), did(2, 9, 10, tryGet, ok, 7), did(2, 11, 12, tryGet, empty, 0),
		}, []death{{1, 4, 6}}, accepted},

		{"value_of_copies", "killed inside Store, or not", []op{
			dead(1, 1, 5, store, 7), did(2, 2, 3, load, ok, 0), did(2, 6, 7, load, ok, 7), did(2, 8, 9, load, ok, 7),
		}, nil, accepted},
		{"value_of_copies", "killed inside Store, after its end", []op{dead(1, 1, 5, store, 7), did(2, 6, 7, load, ok, 0), did(2, 8, 9, load, ok, 7)},
			nil, rejected},
		{"value_of_copies", "back again", []op{did(1, 1, 8, store, ok, 7), did(2, 2, 3, load, ok, 7), did(2, 4, 5, load, ok, 0)}, nil, rejected},
		{"value_of_copies", "a number that was not stored", []op{did(1, 1, 4, store, ok, 7), did(2, 2, 3, load, ok, 3)}, nil, rejected},
		{"value_of_copies", "updated once, killed", []op{dead(1, 1, 5, update, 0), did(2, 6, 7, load, ok, 2)}, nil, rejected},
	} {
		t.Run(strings.ReplaceAll(test.subject+": "+test.name, " ", "_"), func(t *testing.T) {
			s := subjects[test.subject]
			h := &history{begin: s.begin, ops: test.ops, deaths: test.deaths}
			if res := s.check(h); res != test.want {
				t.Errorf("%v, want %v:\n%s", res, test.want, s.explain(h))
			}
		})
	}
}
