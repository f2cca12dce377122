//go:build linux

package history_test

import (
	"context"
	"fmt"
	"structs"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/futex"
	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A board is the memory by which a test and its workers talk, and into which
// they write what they do. Nothing is lost when one is killed.
//
//	0     clock    ticks so far
//	128   places   128 bytes for each process; place 0 is the test's own
//	      logs     logLength records for each goroutine of each place
type board struct {
	object *object.Object
	clock  *atomic.Uint64
	places []placeWords
}

const (
	boardKind  = shm.Kind(1000)
	boardPrint = 0xb0a2d

	maxPlaces = 10
	maxHands  = 2 // goroutines of a process
	logLength = 64

	placesAt  = 128
	logsAt    = placesAt + maxPlaces*128
	boardSize = logsAt + maxPlaces*maxHands*logLength*recordSize
)

// placeWords are how the test and the worker at a place talk.
//
//	0   begin   the round to work in; stopped: end; written by the test
//	4   done    the last round that is done; gone: the process has ended
//	8   party   who the worker is in the segment
//	12  hands   of the worker
type placeWords struct {
	_     structs.HostLayout
	begin atomic.Uint32
	done  atomic.Uint32
	party atomic.Uint32
	hands atomic.Uint32
	_     [112]byte
}

const (
	stopped = 1<<32 - 1
	gone    = 1<<32 - 1
)

// A record is one operation: called and returned are ticks, 0 before. What
// belongs to the call is written before called, what belongs to the return before
// returned: who is killed in between leaves an operation that may have happened.
type record struct {
	_        structs.HostLayout
	called   atomic.Uint64
	returned atomic.Uint64
	kind     atomic.Uint32
	arg      atomic.Uint32
	result   atomic.Uint32
	value    atomic.Uint32
	waited   atomic.Uint32 // not 0: for long
	_        uint32
}

const recordSize = 40

func newBoard(seg *shm.Segment) (*board, error) {
	o, err := object.New(seg, object.Spec{Kind: boardKind, Size: boardSize, Fingerprint: boardPrint})
	if err != nil {
		return nil, err
	}
	b := new(board)
	b.use(o)
	return b, nil
}

func (b *board) use(o *object.Object) {
	b.object = o
	b.clock = view.At[atomic.Uint64](o.Bytes(), 0)
	b.places = view.Slice[placeWords](o.Bytes(), placesAt, maxPlaces)
}

func (b *board) Handle() shm.Handle             { return b.object.Handle(0) }
func (b *board) MarshalBinary() ([]byte, error) { return b.Handle().MarshalText() }
func (b *board) UnmarshalBinary(text []byte) error {
	var h shm.Handle
	if err := h.UnmarshalText(text); err != nil {
		return err
	}
	o, err := object.OpenHandle(h, boardKind, boardPrint)
	if err == nil {
		b.use(o)
	}
	return err
}

func (b *board) tick() uint64 { return b.clock.Add(1) }

// log returns the records of a goroutine.
func (b *board) log(place, hand int) []record {
	return view.Slice[record](b.object.Bytes(), logsAt+(place*maxHands+hand)*logLength*recordSize, logLength)
}

// clear empties the logs.
func (b *board) clear() {
	for place := range maxPlaces {
		for hand := range maxHands {
			log := b.log(place, hand)
			for i := range log {
				r := &log[i]
				r.called.Store(0)
				r.returned.Store(0)
				r.result.Store(0)
				r.value.Store(0)
				r.waited.Store(0)
			}
		}
	}
}

// begin calls f in the log: the operation that follows may happen from now on.
func (b *board) begin(r *record, k kind, arg uint32) {
	r.kind.Store(uint32(k))
	r.arg.Store(arg)
	r.called.Store(b.tick())
}

// end notes that the operation has returned.
func (b *board) end(r *record, res result, value uint32) {
	now := b.tick()
	r.result.Store(uint32(res))
	r.value.Store(value)
	r.returned.Store(now)
}

// An op is a record as the test reads it.
type op struct {
	place, hand      int
	kind             kind
	arg              uint32
	result           result
	value            uint32
	waited           bool
	called, returned uint64
	pending          bool // its process was killed inside; returned is when it had ended
}

func (o op) String() string {
	s := fmt.Sprintf("%5d %5d  place %d.%d  %v(%#x)", o.called, o.returned, o.place, o.hand, o.kind, o.arg)
	if o.pending {
		return s + " killed"
	}
	return fmt.Sprintf("%s = %v %#x", s, o.result, o.value)
}

// ops returns what a place has done, in the order of each goroutine, and the
// last tick that it took.
func (b *board) ops(place int) (list []op, last uint64) {
	for hand := range maxHands {
		log := b.log(place, hand)
		for i := range log {
			r := &log[i]
			o := op{
				place: place, hand: hand, called: r.called.Load(), returned: r.returned.Load(),
				kind: kind(r.kind.Load()), arg: r.arg.Load(), result: result(r.result.Load()), value: r.value.Load(),
				waited: r.waited.Load() != 0,
			}
			if o.called == 0 {
				break
			}
			o.pending = o.returned == 0
			last = max(last, o.called, o.returned)
			list = append(list, o)
		}
	}
	return list, last
}

// tell stores v in a word of a place and wakes who waits for it.
func tell(word *atomic.Uint32, v uint32) {
	word.Store(v)
	futex.Wake(word, futex.All)
}

// until waits until f is content with the word, and returns that.
func until(ctx context.Context, word *atomic.Uint32, f func(v uint32) bool) (uint32, error) {
	for {
		v := word.Load()
		if f(v) {
			return v, nil
		}
		if err := futex.Wait(ctx, word, v); err != nil {
			return v, err
		}
	}
}
