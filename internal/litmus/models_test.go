package litmus

// communication returns a graph of the edges between threads, and of all coherence edges: rfe, co and
// fr. The latter two order accesses of one thread only as program order does.
func communication(x *execution) *graph {
	g := &graph{n: len(x.events)}
	for a := range x.events {
		e := &x.events[a]
		for b := range x.events {
			f := &x.events[b]
			if a == b || e.loc != f.loc || !e.is(everything) || !f.is(everything) {
				continue
			}
			switch {
			case e.is(writes) && f.is(writes): // co
				if x.co[a] < x.co[b] {
					g.edge(a, b)
				}
			case e.is(writes) && f.is(reads): // rf, from another thread
				if x.rf[b] == a && e.thread != f.thread {
					g.edge(a, b)
				}
			case e.is(reads) && f.is(writes): // fr
				if x.co[x.rf[a]] < x.co[b] && e.pair != b {
					g.edge(a, b)
				}
			}
		}
	}
	for _, b := range x.barriers {
		// fence.Heavy begins, then the fence in the other thread, then fence.Heavy ends.
		node := g.n
		g.n++
		for i := range x.events {
			e := &x.events[i]
			switch {
			case e.thread == b.thread && i < b.at, e.thread == x.events[b.heavy].thread && i < b.heavy:
				g.edge(i, node)
			case e.thread == b.thread, e.thread == x.events[b.heavy].thread && i > b.heavy:
				g.edge(node, i)
			}
		}
	}
	return g
}

// pairs calls f for all pairs of events of a thread in program order.
func (x *execution) pairs(f func(a, b int, e, l *event)) {
	for a := range x.events {
		e := &x.events[a]
		if e.thread < 0 {
			continue
		}
		for b := a + 1; b < len(x.events) && x.events[b].thread == e.thread; b++ {
			f(a, b, e, &x.events[b])
		}
	}
}

// between reports whether an event between a and b, of their thread, is such that f.
func (x *execution) between(a, b int, f func(e *event) bool) bool {
	for i := a + 1; i < b; i++ {
		if f(&x.events[i]) {
			return true
		}
	}
	return false
}

// depends reports whether l depends on e, by the set of one kind of dependency of l.
func (x *execution) depends(e *event, set uint64) bool {
	return x.doubtful && e.is(reads) && set&(1<<e.at) != 0
}

// internal reports whether read b has its value from write a of its own thread.
func (x *execution) internal(a, b int) bool {
	return x.events[a].is(writes) && x.events[b].is(reads) && x.events[a].loc == x.events[b].loc &&
		x.events[a].thread == x.events[b].thread && x.rf[b] == a
}

// fenced reports whether the fence e keeps what is before it in order with l, which comes later, or
// l is such a fence and e what is before it. Fences are nodes of the graph.
func fenced(e, l *event) bool {
	return e.is(fences) && l.is(e.after) || l.is(fences) && e.is(l.before)
}

// orderSC: an interleaving of the threads.
func orderSC(x *execution) *graph {
	g := communication(x)
	x.pairs(func(a, b int, e, l *event) { g.edge(a, b) })
	return g
}

// orderTSO is x86-TSO: only a write and a later read of another location may change places, unless a
// fence or a locked instruction is between them, or one of them is that.
func orderTSO(x *execution) *graph {
	g := communication(x)
	x.pairs(func(a, b int, e, l *event) {
		switch {
		case fenced(e, l), e.lock, l.lock:
			g.edge(a, b)
		case e.is(everything) && l.is(everything) && !(e.is(writes) && l.is(reads)):
			g.edge(a, b)
		}
	})
	return g
}

// orderARMv8 is "ordered before" of the Armv8 model. The names are those of the paper. Where later
// versions of the model order less, so does this: a load-acquire comes after the load-exclusive of the
// pair from which it gets its value, not after the store-exclusive.
func orderARMv8(x *execution) *graph {
	g := communication(x) // obs
	coi := func(a, b int) bool {
		return x.events[a].is(writes) && x.events[b].is(writes) && x.events[a].loc == x.events[b].loc && x.co[a] < x.co[b]
	}
	each := func(m int, f func(b int)) { // later events of the thread of m
		for b := m + 1; b < len(x.events) && x.events[b].thread == x.events[m].thread; b++ {
			f(b)
		}
	}
	x.pairs(func(a, b int, e, l *event) {
		addr, data, ctrl := x.depends(e, l.addr), x.depends(e, l.data), x.depends(e, l.ctrl)
		// dob
		if addr || data || ctrl && l.is(writes) {
			g.edge(a, b)
		}
		if addr { // addr; po; [W]
			each(b, func(c int) {
				if x.events[c].is(writes) {
					g.edge(a, c)
				}
			})
		}
		each(b, func(c int) {
			if (ctrl || data) && coi(b, c) || (addr || data) && x.internal(b, c) {
				g.edge(a, c)
			}
		})
		// aob
		if e.pair == b {
			g.edge(a, b)
			each(b, func(c int) {
				if f := &x.events[c]; x.internal(b, c) && (f.acq || f.pc) {
					g.edge(a, c)
				}
			})
		}
		// bob
		switch {
		case fenced(e, l),
			e.is(writes) && e.rel && l.is(reads) && l.acq,
			e.is(reads) && (e.acq || e.pc),
			l.is(writes) && l.rel:
			g.edge(a, b)
		}
		if l.is(writes) && l.rel { // po; [L]; coi
			each(b, func(c int) {
				if coi(b, c) {
					g.edge(a, c)
				}
			})
		}
		// An instruction that both acquires and releases is a fence for what is around it. Of late it comes
		// before later accesses as a whole.
		if x.doubtful && e.single && e.rel {
			g.edge(a, b)
		}
		if l.is(reads) && l.acq && l.single && l.pair == b+1 && x.events[b+1].rel {
			each(b+1, func(c int) { g.edge(a, c) })
		}
	})
	return g
}

// orderRVWMO is "preserved program order" of RVWMO, with the rules by their numbers, and
// communication.
func orderRVWMO(x *execution) *graph {
	g := communication(x)
	sc := func(e *event) bool { return e.acq || e.rel } // all such annotations are RCsc
	x.pairs(func(a, b int, e, l *event) {
		same := e.loc == l.loc && e.is(everything) && l.is(everything)
		addr, data, ctrl := x.depends(e, l.addr), x.depends(e, l.data), x.depends(e, l.ctrl)
		switch {
		case same && l.is(writes), // 1
			same && e.is(reads) && l.is(reads) && x.rf[a] != x.rf[b] && // 2
				!x.between(a, b, func(m *event) bool { return m.is(writes) && m.loc == e.loc }),
			x.internal(a, b) && e.pair >= 0,                  // 3
			fenced(e, l),                                     // 4
			e.is(everything) && e.acq, x.doubtful && e.drops, // 5
			l.is(everything) && l.rel, // 6
			sc(e) && sc(l),            // 7
			e.pair == b,               // 8
			addr,                      // 9
			data && l.is(writes),      // 10
			ctrl && l.is(writes):      // 11
			g.edge(a, b)
		}
		for c := a + 1; c < b; c++ {
			m := &x.events[c]
			switch {
			case m.is(writes) && (x.depends(e, m.addr) || x.depends(e, m.data)) && x.internal(c, b), // 12
				l.is(writes) && m.is(everything) && x.depends(e, m.addr): // 13
				g.edge(a, b)
			}
		}
	})
	// The two halves of an AMO are one operation.
	for i := range x.events {
		if e := &x.events[i]; e.is(reads) && e.pair >= 0 && e.single {
			g.merge(i, e.pair)
		}
	}
	return g
}

// merge makes node b a part of node a.
func (g *graph) merge(a, b int) {
	for i := range g.n {
		if g.next[i]&(1<<b) != 0 {
			g.next[i] = g.next[i]&^(1<<b) | 1<<a
		}
	}
	g.next[a] = (g.next[a] | g.next[b]) &^ (1 << a)
	g.next[b] = 0
}
