package wait

import (
	"cmp"
	"context"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/seed-2e7ecdea/mp/futex"
)

// A selection is one AwaitAny that does not find a case done at once. It performs the steps of
// Room.Await for all cases together:
//
//  1. It reads the epoch of each room.
//  2. It arms the word of each case.
//  3. It makes sure that there is a fence between publications and publishers' loads of the words.
//     One call of fence.Heavy serves all words.
//  4. It tries each case.
//  5. It sleeps until one of the words or epochs moves, ctx ends, or the slice is over.
//
// No wakeup is lost to the selection: for each word alone these are the steps of Room.Await. None
// is lost to other sleepers at the words either:
//
//   - One sleep may consume a wake of each word, since it is in the kernel's queue of each. Every
//     wake moves the word before it looks for a sleeper. So the selection may have consumed a wake
//     of those words that have moved since it armed them, and of no others.
//   - Before the tries all words are armed again, so that the next wakes find the next sleepers.
//   - When a case ends the wait, that case passes its wake on as any waiter does. A case that was
//     tried in vain owes no wake: there was nothing when its word was armed. A case that was woken
//     and not tried passes its wake on.
//
// A process that is killed or stopped at any of the steps leaves what a process leaves that is
// killed or stopped in Room.Await: its death moves the epochs, and no sleep of another waiter is
// longer than a second.
type selection struct {
	cases  []*Case
	first  int   // the case with which the last tries began
	chosen int   // the case that has ended the wait
	err    error // of its try

	rooms  []*Room  // each once
	roomOf []int    // index of each case's room
	epochs []uint32 // of the rooms, as last read
	armed  []Armed  // word of each case
	asleep []sleeper
	slept  bool       // once, at least
	wake   chan error // of all sleepers
	lot    *parkingLot
	words  []futex.Word // the armed words, then the epochs
}

// selectSpinner learns how long it pays to stay awake in AwaitAny.
var selectSpinner Spinner

// mostSpun is the greatest number of cases for which AwaitAny spins and yields. A round of tries of
// more cases takes too long to see an answer that comes soon.
const mostSpun = 16

func awaitAny(ctx context.Context, cases []*Case) (int, error) {
	s := newSelection(cases)
	defer s.free()
	defer runtime.KeepAlive(cases) // they keep the memory of the words alive
	for _, r := range s.rooms {
		r.waiting.Add(1)
		defer r.waiting.Add(-1)
	}
	policy := s.policy()
	if policy == Spin {
		if err := spinUntil(ctx, s.try, s.watch); err != nil {
			return -1, err
		}
		return s.chosen, s.result()
	}
	var begin time.Duration
	var done, spun bool
	if policy == Adaptive && len(cases) <= mostSpun {
		begin = Now()
		if done, spun = selectSpinner.awake(begin, slices.ContainsFunc(s.rooms, (*Room).crowded), s.try); done {
			return s.chosen, s.result()
		}
	}
	s.prepareSleep()
	defer s.lot.endAll(s.asleep)
	for slice := firstSlice; ; slice = min(2*slice, lastSlice) {
		over, err := s.sleepOnce(ctx, slice)
		switch {
		case over:
			s.passChosen()
			if spun {
				selectSpinner.missed(Now() - begin)
			}
			return s.chosen, s.result()
		case err != nil:
			s.passAll()
			return -1, err
		}
	}
}

// selections are selections that have ended, whose memory is used again: many programs wait in a loop.
var selections = sync.Pool{New: func() any { return new(selection) }}

func newSelection(cases []*Case) *selection {
	s := selections.Get().(*selection)
	*s = selection{
		cases: cases, lot: process, rooms: s.rooms[:0], roomOf: sized(s.roomOf, len(cases)), armed: sized(s.armed, len(cases)),
		epochs: s.epochs, asleep: s.asleep, wake: s.wake, words: s.words,
	}
	for i, c := range cases {
		r := slices.Index(s.rooms, c.Room)
		if r < 0 {
			r = len(s.rooms)
			s.rooms = append(s.rooms, c.Room)
			s.lot = cmp.Or(c.Room.lot, s.lot)
		}
		s.roomOf[i] = r
	}
	s.epochs = sized(s.epochs, len(s.rooms))
	return s
}

// prepareSleep makes the sleepers of all cases.
func (s *selection) prepareSleep() {
	s.asleep = sized(s.asleep, len(s.cases))
	if cap(s.wake) < len(s.cases) {
		s.wake = make(chan error, len(s.cases))
	}
	for i := range s.asleep {
		s.asleep[i].wake = s.wake
	}
}

// free ends the use of s, whose sleepers belong to no queue any more.
func (s *selection) free() {
	clear(s.rooms)
	clear(s.armed)
	clear(s.words)
	clear(s.asleep)
	s.cases, s.err, s.lot = nil, nil, nil
	selections.Put(s)
}

// sized returns n values, in the memory of old if they fit. What free clears is zero in them.
func sized[T any](old []T, n int) []T {
	if cap(old) < n {
		return make([]T, n)
	}
	return old[:n]
}

// policy returns the policy for the whole wait: Spin if one of the rooms has that, else Block if
// one of them has that.
func (s *selection) policy() Policy {
	p := Adaptive
	for _, r := range s.rooms {
		if q := r.Policy(); q == Spin || q == Block && p == Adaptive {
			p = q
		}
	}
	return p
}

// watch reads the epochs, and has the deaths of all parties that have joined by then noticed.
func (s *selection) watch() {
	for i, r := range s.rooms {
		s.epochs[i] = r.Epoch.Load()
		r.Watch(s.epochs[i])
	}
}

// arm arms the word of each case. It returns false if one of the words has moved already.
func (s *selection) arm() bool {
	unmoved := true
	for i, c := range s.cases {
		var ok bool
		s.armed[i], ok = c.Waiter.Arm()
		unmoved = unmoved && ok
	}
	return unmoved
}

// sleepOnce performs the steps once. It reports whether a case has ended the wait, and otherwise
// returns an error if the wait fails.
func (s *selection) sleepOnce(ctx context.Context, slice time.Duration) (over bool, err error) {
	s.watch()                   // step 1
	unmoved := s.arm()          // step 2
	fenced := fenceAll(s.armed) // step 3
	if s.try() {                // step 4
		s.asleep[s.chosen].found, s.asleep[s.chosen].armed = s.err == nil, s.armed[s.chosen].Val
		return true, nil
	}
	if !unmoved {
		return false, ctx.Err()
	}
	limit := time.Duration(0)
	for i := range s.armed {
		if l := s.armed[i].AtMost; l > 0 && (limit == 0 || l < limit) {
			limit = l
		}
	}
	if !fenced {
		limit = noFenceSlice
	}
	begin := Now()
	err = s.lot.sleepAny(ctx, slice, limit, s) // step 5
	s.count(Now() - begin)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		s.arm() // as in attempt.tryLast
		fenceAll(s.armed)
		if s.try() {
			return true, nil
		}
	}
	return false, err
}

// count counts a sleep of that length at the object of each case.
func (s *selection) count(length time.Duration) {
	for i, c := range s.cases {
		if c.Counters != nil {
			c.Counters.slept(length, s.armed[i].moved(), !s.slept)
		}
	}
	s.slept = true
}

// try tries each case, and reports whether one of them has ended the wait.
func (s *selection) try() bool {
	s.first, s.chosen, s.err = tryAll(s.cases)
	return s.chosen >= 0
}

// tried reports whether the last tries came to case i, after one of them has ended the wait.
func (s *selection) tried(i int) bool {
	n := len(s.cases)
	return (i-s.first+n)%n <= (s.chosen-s.first+n)%n
}

// result returns the error of the chosen case.
func (s *selection) result() error { return s.cases[s.chosen].Result(s.err) }

// passChosen passes on the wakes that the selection does not use, after a case has ended the wait.
func (s *selection) passChosen() {
	for i, c := range s.cases {
		if woken := s.asleep[i].woken; i == s.chosen {
			c.Waiter.Pass(woken, s.err == nil)
		} else if woken && !s.tried(i) {
			c.Waiter.Pass(true, false)
		}
	}
}

// passAll passes on all wakes that the selection may have consumed.
func (s *selection) passAll() {
	for i, c := range s.cases {
		c.Waiter.Pass(s.asleep[i].woken, false)
	}
}
