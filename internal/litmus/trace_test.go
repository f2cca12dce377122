package litmus

import (
	"maps"
	"slices"
)

// An event is an access to memory, or a fence.
type event struct {
	kind eventKind
	loc  string
	val  int

	acq   bool // later accesses come after it: LDAR, LDAXR, .aq
	pc    bool // the same, but it is not ordered with earlier releases: LDAPR
	rel   bool // earlier accesses come before it: STLR, STLXR, .rl
	drops bool // an AMO.aq whose result is dropped
	lock  bool // a locked instruction of x86

	pair   int  // position of the other half of a read-modify-write, -1 if there is none
	single bool // the two halves are one instruction: LDADDAL, AMOADD

	addr, data, ctrl uint64 // positions of the reads on which it depends

	before, after eventKinds // of a fence: what it keeps in order
	heavy         bool       // of a fence: it runs in all other threads, too

	thread, at int // its thread, -1 for the initial value, and its position in that
}

type eventKind byte

const (
	reads eventKind = 1 << iota
	writes
	fences
)

// eventKinds is a set.
type eventKinds = eventKind

func (e *event) is(k eventKinds) bool { return e.kind&k != 0 }

// A trace is a run of one thread in which each read has got some value.
type trace struct {
	events []event
	regs   map[string]int

	needs, gives uint64 // values that it reads and writes, as numbered by number
}

// traces returns all runs of a thread, given the values that a read of each location may get.
func (m *machine) traces(ops []op, values map[string][]int) []trace {
	var all []trace
	type reg struct {
		val  int
		from uint64
	}
	var run func(ops []op, events []event, regs map[string]reg, ctrl uint64)
	run = func(ops []op, events []event, regs map[string]reg, ctrl uint64) {
		if len(ops) == 0 {
			t := trace{events: slices.Clone(events), regs: make(map[string]int)}
			for name, r := range regs {
				t.regs[name] = r.val
			}
			all = append(all, t)
			return
		}
		o, rest := ops[0], ops[1:]
		if o.fence && o.relaxed {
			run(rest, events, regs, ctrl)
			return
		}
		if o.kind == is {
			r, ok := regs[o.reg]
			if !ok {
				panic("litmus: no register " + o.reg)
			}
			if r.val != o.val {
				rest = nil
			}
			run(rest, events, regs, ctrl|r.from)
			return
		}
		emit := func(events []event, e event) []event {
			e.loc, e.pair, e.at = o.loc, -1, len(events)
			e.addr, e.data, e.ctrl = regs[o.addr].from, regs[o.data].from, ctrl
			return append(slices.Clip(events), e)
		}
		code := m.compile(o)
		for _, e := range code.before {
			events = emit(events, e)
		}
		if code.read == nil {
			if code.write != nil {
				w := *code.write
				w.kind, w.val = writes, o.val
				events = emit(events, w)
			}
			for _, e := range code.after {
				events = emit(events, e)
			}
			run(rest, events, regs, ctrl)
			return
		}
		for _, v := range values[o.loc] {
			r := *code.read
			r.kind, r.val = reads, v
			events, rest, ctrl := emit(events, r), rest, ctrl
			from := uint64(1) << (len(events) - 1)
			fails := (o.kind == cas || o.kind == claim) && v != o.old
			if code.write != nil && !fails {
				w := *code.write
				w.kind, w.val = writes, o.val
				if o.kind == add || o.kind == amo {
					w.val += v
				}
				events = emit(events, w)
				i := len(events) - 1
				events[i].pair, events[i-1].pair = i-1, i
				if o.kind == add || o.kind == amo {
					events[i].data |= from
				}
			}
			if o.kind == cas || o.kind == claim {
				if n := len(events) - 1; !fails {
					events[n].ctrl |= from
				}
				ctrl |= from
			}
			if o.kind == claim && fails {
				rest = nil
			}
			for _, e := range code.after {
				events = emit(events, e)
			}
			regs := regs
			if o.reg != "" {
				regs = maps.Clone(regs)
				regs[o.reg] = reg{v, from}
			}
			run(rest, events, regs, ctrl)
		}
	}
	run(ops, nil, make(map[string]reg), 0)
	return all
}

// unroll returns all runs of each thread. A read gets any value that is ever written to its location.
func (m *machine) unroll(p program) [][]trace {
	values := make(map[string][]int)
	steps := 2
	for _, ops := range p.threads {
		for _, o := range ops {
			if o.loc != "" {
				values[o.loc] = []int{0}
			}
			if o.kind.updates() {
				steps++
			}
		}
	}
	for {
		all := make([][]trace, len(p.threads))
		grown := false
		for i, ops := range p.threads {
			all[i] = m.traces(ops, values)
			for _, t := range all[i] {
				for _, e := range t.events {
					if e.is(writes) && !slices.Contains(values[e.loc], e.val) {
						values[e.loc] = append(values[e.loc], e.val)
						grown = true
					}
				}
			}
		}
		// Longer chains of additions than the program has would give values that nobody writes.
		if steps--; !grown || steps == 0 {
			return all
		}
	}
}
