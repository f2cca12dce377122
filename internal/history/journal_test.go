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

// A journal is shared memory in which the test and its workers record their operations, and by which
// the test tells the workers to begin. A killed process leaves all its records.
//
//	0     clock      ticks so far
//	128   processes  128 bytes for each process; process 0 is the test itself
//	      logs       logLength records for each client of each process
type journal struct {
	object    object.Object
	clock     *atomic.Uint64
	processes []processWords
}

const (
	journalKind  = shm.Kind(1000)
	journalPrint = 0xb0a2d

	maxProcesses = 10
	maxClients   = 2 // in a process
	logLength    = 64

	processesAt = 128
	logsAt      = processesAt + maxProcesses*128
	journalSize = logsAt + maxProcesses*maxClients*logLength*recordSize
)

// processWords are the words by which the test and a worker talk.
//
//	0   begin   round that the worker is to execute; stopped: it is to end. Written by the test
//	4   done    last round that the worker has executed; gone: the process has ended. gone is written by the test
//	8   party   the worker's party of the segment
type processWords struct {
	_     structs.HostLayout
	begin atomic.Uint32
	done  atomic.Uint32
	party atomic.Uint32
	_     [116]byte
}

const (
	stopped = 1<<32 - 1
	gone    = 1<<32 - 1
)

// A record describes one operation. called and returned are ticks, and 0 before the call and before the return. kind and
// arg are written before called; result, value and waited before returned. If a process is killed in between, its record has
// called without returned: the operation may or may not have happened.
type record struct {
	_        structs.HostLayout
	called   atomic.Uint64
	returned atomic.Uint64
	kind     atomic.Uint32
	arg      atomic.Uint32
	result   atomic.Uint32
	value    atomic.Uint32
	waited   atomic.Uint32 // not 0: longer than hasWaited
	_        uint32
}

const recordSize = 40

func newJournal(seg *shm.Segment) (*journal, error) {
	o, err := object.New(seg, object.Spec{Kind: journalKind, Size: journalSize, Fingerprint: journalPrint})
	if err != nil {
		return nil, err
	}
	j := new(journal)
	j.use(o)
	return j, nil
}

func (j *journal) use(o object.Object) {
	j.object = o
	j.clock = view.At[atomic.Uint64](o.Bytes(), 0)
	j.processes = view.Slice[processWords](o.Bytes(), processesAt, maxProcesses)
}

func (j *journal) Handle() shm.Handle             { return j.object.Handle(0) }
func (j *journal) MarshalBinary() ([]byte, error) { return j.Handle().MarshalText() }
func (j *journal) UnmarshalBinary(text []byte) error {
	var h shm.Handle
	if err := h.UnmarshalText(text); err != nil {
		return err
	}
	o, err := object.OpenHandle(h, journalKind, journalPrint)
	if err == nil {
		j.use(o)
	}
	return err
}

func (j *journal) tick() uint64 { return j.clock.Add(1) }

// log returns the records of a client.
func (j *journal) log(process, client int) []record {
	return view.Slice[record](j.object.Bytes(), logsAt+(process*maxClients+client)*logLength*recordSize, logLength)
}

// clear empties the logs.
func (j *journal) clear() {
	for process := range maxProcesses {
		for client := range maxClients {
			log := j.log(process, client)
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

// begin records that an operation has been called: it may happen from now on.
func (j *journal) begin(r *record, k kind, arg uint32) {
	r.kind.Store(uint32(k))
	r.arg.Store(arg)
	r.called.Store(j.tick())
}

// end records that an operation has returned.
func (j *journal) end(r *record, res result, value uint32) {
	now := j.tick()
	r.result.Store(uint32(res))
	r.value.Store(value)
	r.returned.Store(now)
}

// An op is a record as the test reads it.
type op struct {
	process, client  int
	kind             kind
	arg              uint32
	result           result
	value            uint32
	waited           bool
	called, returned uint64
	pending          bool // its process died before the return; returned is a tick after the death
}

func (o op) String() string {
	s := fmt.Sprintf("%5d %5d  process %d.%d  %v(%#x)", o.called, o.returned, o.process, o.client, o.kind, o.arg)
	if o.pending {
		return s + " killed"
	}
	return fmt.Sprintf("%s = %v %#x", s, o.result, o.value)
}

// ops returns the operations of a process, those of each client in order, and the last tick among them.
func (j *journal) ops(process int) (list []op, last uint64) {
	for client := range maxClients {
		log := j.log(process, client)
		for i := range log {
			r := &log[i]
			o := op{
				process: process, client: client, called: r.called.Load(), returned: r.returned.Load(),
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

// tell stores v in word and wakes all processes that wait for the word.
func tell(word *atomic.Uint32, v uint32) {
	word.Store(v)
	futex.Wake(word, futex.All)
}

// until waits until f returns true for the word's value, and returns that value.
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
