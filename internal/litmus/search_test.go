package litmus

import (
	"math/bits"
)

// An execution is a candidate: a run of each thread, from where each read has its value, and the
// order of the writes to each location. The events of the initial values come first.
type execution struct {
	events   []event
	first    []int // of each thread: the number of its first event
	rf       []int // of each read: the number of the write
	co       []int // of each write: its position among the writes to its location
	doubtful bool  // doubtful orders count

	barriers []barrier
}

// A barrier is the fence that a fence.Heavy of another thread executes in one thread: between the
// events heavy and at, where heavy is the event of that fence.Heavy.
type barrier struct {
	heavy      int
	thread, at int
}

// A graph has the events as nodes, and some more. It holds up to 64.
type graph struct {
	n    int
	next [64]uint64
}

func (g *graph) edge(from, to int) { g.next[from] |= 1 << to }

// cyclic reports whether the graph has a cycle. Nodes without predecessors are taken away until none
// are left, or none can be.
func (g *graph) cyclic() bool {
	left := uint64(1)<<g.n - 1
	if g.n == 64 {
		left = ^uint64(0)
	}
	for left != 0 {
		reached := uint64(0)
		for rest := left; rest != 0; rest &= rest - 1 {
			reached |= g.next[bits.TrailingZeros64(rest)]
		}
		if left&^reached == 0 {
			return true
		}
		left &= reached
	}
	return false
}

// A search goes through the executions of a program. Doubtful orders are those on which mp must not
// rely: dependencies between the accesses of a thread, which the compiler may drop, and what the
// sources say differently of two instructions: see orderARMv8 and compileRISCV64.
type search struct {
	m        *machine
	p        program
	doubtful bool
	want     outcome // nil: any
	tried    int     // candidates that are coherent and atomic
	result   map[string]bool
}

// allows reports whether the machine has an execution of p with the outcome want. It also returns
// the number of candidates that were looked at.
func (m *machine) allows(p program, want outcome, doubtful bool) (allowed bool, tried int) {
	s := &search{m: m, p: p, doubtful: doubtful, want: want}
	allowed = s.run()
	return allowed, s.tried
}

// outcomes returns all outcomes of p.
func (m *machine) outcomes(p program) map[string]bool {
	s := &search{m: m, p: p, result: make(map[string]bool)}
	s.run()
	return s.result
}

// run reports whether it found an execution with the outcome wanted, and then stops.
func (s *search) run() bool {
	all := s.m.unroll(s.p)
	if s.want != nil {
		for i := range all {
			fit := all[i][:0]
			for _, t := range all[i] {
				if s.fits(t.regs, s.p.threads[i]) {
					fit = append(fit, t)
				}
			}
			all[i] = fit
		}
	}
	number(all)
	chosen := make([]trace, len(all))
	var choose func(i int, needs, gives uint64) bool
	choose = func(i int, needs, gives uint64) bool {
		if i == len(all) {
			return needs&^gives == 0 && s.execute(chosen)
		}
		for _, t := range all[i] {
			chosen[i] = t
			if choose(i+1, needs|t.needs, gives|t.gives) {
				return true
			}
		}
		return false
	}
	return choose(0, 0, 0)
}

// number finds out which values the runs read from memory, other than 0, and write to it.
func number(all [][]trace) {
	type value struct {
		loc string
		val int
	}
	bits := make(map[value]int)
	for _, traces := range all {
		for i := range traces {
			t := &traces[i]
			for _, e := range t.events {
				v := value{e.loc, e.val}
				if e.is(fences) || e.val == 0 {
					continue
				}
				if _, ok := bits[v]; !ok {
					bits[v] = len(bits)
				}
				if e.is(reads) {
					t.needs |= 1 << bits[v]
				} else {
					t.gives |= 1 << bits[v]
				}
			}
		}
	}
	if len(bits) > 64 {
		panic("litmus: the program has too many values")
	}
}

// fits reports whether the registers of a run of a thread are as wanted. A register that the thread
// did not come to is not.
func (s *search) fits(regs map[string]int, ops []op) bool {
	for _, o := range ops {
		if want, ok := s.want[o.reg]; ok && o.kind != is {
			if got, ok := regs[o.reg]; !ok || got != want {
				return false
			}
		}
	}
	return true
}

// execute tries all executions with these runs of the threads.
func (s *search) execute(threads []trace) bool {
	x := &execution{doubtful: s.doubtful}
	locs := make(map[string]int)
	var names []string
	for _, t := range threads {
		for _, e := range t.events {
			if _, ok := locs[e.loc]; e.loc != "" && !ok {
				locs[e.loc] = len(names)
				names = append(names, e.loc)
			}
		}
	}
	for _, name := range names {
		x.events = append(x.events, event{kind: writes, loc: name, pair: -1, thread: -1})
	}
	for i, t := range threads {
		x.first = append(x.first, len(x.events))
		for _, e := range t.events {
			e.thread = i
			if e.pair >= 0 {
				e.pair += x.first[i]
			}
			x.events = append(x.events, e)
		}
	}
	x.rf, x.co = make([]int, len(x.events)), make([]int, len(x.events))
	if len(x.events) > 56 {
		panic("litmus: the program is too long")
	}
	var location func(l int) bool
	location = func(l int) bool {
		if l == len(names) {
			return s.consistent(x, threads, names)
		}
		return s.orders(x, l, func() bool { return location(l + 1) })
	}
	return location(0)
}

// orders calls next for all ways in which the reads of location l get their values and its writes
// are ordered that are coherent and atomic.
func (s *search) orders(x *execution, l int, next func() bool) bool {
	loc := x.events[l].loc
	var loads, stores []int
	for i, e := range x.events {
		switch {
		case e.loc != loc || e.is(fences):
		case e.is(reads):
			loads = append(loads, i)
		case i != l:
			stores = append(stores, i)
		}
	}
	x.co[l] = 0
	var from func(i int) bool
	from = func(i int) bool {
		if i == len(loads) {
			return coherent(x, loads, stores) && next()
		}
		for _, w := range append([]int{l}, stores...) {
			if x.events[w].val == x.events[loads[i]].val {
				x.rf[loads[i]] = w
				if from(i + 1) {
					return true
				}
			}
		}
		return false
	}
	var place func(used uint64, n int) bool
	place = func(used uint64, n int) bool {
		if n > len(stores) {
			if want, ok := s.want[loc]; ok && x.events[x.last(l, stores)].val != want {
				return false
			}
			return from(0)
		}
	candidates:
		for i, w := range stores {
			if used&(1<<i) != 0 {
				continue
			}
			for j, v := range stores { // the writes of a thread are in program order
				if used&(1<<j) == 0 && x.events[v].thread == x.events[w].thread && v < w {
					continue candidates
				}
			}
			x.co[w] = n
			if place(used|1<<i, n+1) {
				return true
			}
		}
		return false
	}
	return place(0, 1)
}

// last returns the last write to a location.
func (x *execution) last(init int, stores []int) int {
	last := init
	for _, w := range stores {
		if x.co[w] > x.co[last] {
			last = w
		}
	}
	return last
}

// coherent reports whether the accesses to one location are sequentially consistent, and its
// read-modify-writes atomic. All models have these two axioms.
func coherent(x *execution, loads, stores []int) bool {
	at := func(i int) int { // which write's value there is after the access
		if x.events[i].is(reads) {
			return x.co[x.rf[i]]
		}
		return x.co[i]
	}
	all := append(append(make([]int, 0, 16), loads...), stores...)
	for _, a := range all {
		e := &x.events[a]
		for _, b := range all {
			f := &x.events[b]
			if e.thread != f.thread || a >= b {
				continue
			}
			if at(a) > at(b) || at(a) == at(b) && f.is(writes) {
				return false
			}
		}
		if e.is(reads) && e.pair >= 0 && x.co[e.pair] != at(a)+1 {
			return false
		}
	}
	return true
}

// consistent reports whether the machine allows x, with the fences of fence.Heavy at any place of the
// other threads.
func (s *search) consistent(x *execution, threads []trace, names []string) bool {
	x.barriers = x.barriers[:0]
	type where struct{ heavy, thread int }
	var todo []where
	for i, e := range x.events {
		if e.heavy {
			for t := range threads {
				if t != e.thread {
					todo = append(todo, where{i, t})
				}
			}
		}
	}
	var place func(i int) bool
	place = func(i int) bool {
		if i == len(todo) {
			s.tried++
			if s.m.order(x).cyclic() {
				return false
			}
			if s.want != nil {
				return true
			}
			s.result[s.outcome(x, threads, names).String()] = true
			return false
		}
		w := todo[i]
		from, to := x.first[w.thread], x.first[w.thread]+len(threads[w.thread].events)
		for at := from; at <= to; at++ {
			if at > from && at < to && x.events[at].pair == at-1 {
				continue // an instruction is not interrupted
			}
			x.barriers = append(x.barriers, barrier{w.heavy, w.thread, at})
			if place(i + 1) {
				return true
			}
			x.barriers = x.barriers[:len(x.barriers)-1]
		}
		return false
	}
	return place(0)
}

func (s *search) outcome(x *execution, threads []trace, names []string) outcome {
	o := make(outcome)
	for _, t := range threads {
		for name, v := range t.regs {
			o[name] = v
		}
	}
	last := make([]int, len(names))
	for i := range names {
		last[i] = i
	}
	for i, e := range x.events {
		if e.is(writes) {
			for l, name := range names {
				if e.loc == name && x.co[i] > x.co[last[l]] {
					last[l] = i
				}
			}
		}
	}
	for l, name := range names {
		o[name] = x.events[last[l]].val
	}
	return o
}
