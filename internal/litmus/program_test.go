package litmus

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// A program is a litmus test: threads that run at the same time. All locations are 0 at first.
type program struct {
	threads [][]op
}

// An op is one operation of a thread.
type op struct {
	kind kind
	loc  string
	reg  string // gets the value that was read
	old  int    // of cas: the value that it replaces
	val  int    // that is written, or added; of is: the value that reg must have

	addr, data string // registers on which the address and the written value depend

	clears  bool // of set: it is And
	fence   bool // the operation is there only as a fence
	relaxed bool // the operation without its ordering: see weaken
}

type kind int

const (
	// Go's operations on memory.
	read  kind = iota // v = *p
	write             // *p = v
	load              // atomic Load
	store             // atomic Store
	add               // atomic Add
	swap              // atomic Swap
	set               // atomic Or or And: one bit gets its other value; here it becomes val
	cas               // atomic CompareAndSwap; the thread goes on if it fails
	claim             // atomic CompareAndSwap; the thread ends if it fails

	// mp's own.
	put    // fence.Put and fence.Publish
	copyIn // tear.Store, for one word
	copyTo // tear.Load, for one word
	heavy  // fence.Heavy

	// A branch: the thread ends unless reg is val.
	is

	// Instructions, for the known results, and for what the kernel does.
	acquire   // load-acquire: LDAR, LR.aq
	acquirePC // the weaker load-acquire: LDAPR; a load and FENCE R,RW
	release   // store-release: STLR, SC.rl
	full      // MFENCE, DMB ISH, FENCE RW,RW
	fullR     // DMB ISHLD, FENCE R,RW
	fullW     // DMB ISHST, FENCE W,W
	amo       // an atomic addition without ordering: LDADD, AMOADD
)

// The functions below make operations. Their names are those of the kinds.

func thread(ops ...op) []op { return ops }

func opRead(loc, reg string) op         { return op{kind: read, loc: loc, reg: reg} }
func opWrite(loc string, v int) op      { return op{kind: write, loc: loc, val: v} }
func opLoad(loc, reg string) op         { return op{kind: load, loc: loc, reg: reg} }
func opStore(loc string, v int) op      { return op{kind: store, loc: loc, val: v} }
func opAdd(loc string, v int) op        { return op{kind: add, loc: loc, val: v} }
func opFenceAdd(loc string, v int) op   { return op{kind: add, loc: loc, val: v, fence: true} }
func opOr(loc string) op                { return op{kind: set, loc: loc, val: 1} }
func opAnd(loc string) op               { return op{kind: set, loc: loc, val: 1, clears: true} }
func opSwap(loc string, v int) op       { return op{kind: swap, loc: loc, val: v} }
func opCAS(loc string, old, v int) op   { return op{kind: cas, loc: loc, old: old, val: v} }
func opClaim(loc string, old, v int) op { return op{kind: claim, loc: loc, old: old, val: v} }
func opPut(loc string, v int) op        { return op{kind: put, loc: loc, val: v} }
func opCopyIn(loc string, v int) op     { return op{kind: copyIn, loc: loc, val: v} }
func opCopyTo(loc, reg string) op       { return op{kind: copyTo, loc: loc, reg: reg} }
func opHeavy() op                       { return op{kind: heavy} }
func opIs(reg string, v int) op         { return op{kind: is, reg: reg, val: v} }
func opAcquire(loc, reg string) op      { return op{kind: acquire, loc: loc, reg: reg} }
func opAcquirePC(loc, reg string) op    { return op{kind: acquirePC, loc: loc, reg: reg} }
func opRelease(loc string, v int) op    { return op{kind: release, loc: loc, val: v} }
func opFull() op                        { return op{kind: full} }
func opFullR() op                       { return op{kind: fullR} }
func opFullW() op                       { return op{kind: fullW} }
func opAMO(loc string, v int) op        { return op{kind: amo, loc: loc, val: v} }
func (o op) to(reg string) op           { o.reg = reg; return o }
func (o op) addrOf(reg string) op       { o.addr = reg; return o }
func (o op) dataOf(reg string) op       { o.data = reg; return o }
func (k kind) readsOnly() bool {
	return k == read || k == load || k == copyTo || k == acquire || k == acquirePC
}
func (k kind) updates() bool             { return k >= add && k <= claim || k == amo }
func (p program) clone() program         { return program{cloneThreads(p.threads)} }
func cloneThreads(threads [][]op) [][]op { return mapSlice(threads, slices.Clone[[]op]) }

func mapSlice[A, B any](s []A, f func(A) B) []B {
	r := make([]B, len(s))
	for i, a := range s {
		r[i] = f(a)
	}
	return r
}

// weaken returns p with operation i of a thread without its ordering: an atomic load or store, and
// a fence.Put, is a plain one; an atomic read-modify-write has neither acquire nor release; a fence
// is not there.
func (p program) weaken(thread, i int) program {
	p = p.clone()
	p.threads[thread][i].relaxed = true
	return p
}

// An outcome gives values to registers and to locations, to the latter at the end of the execution.
type outcome map[string]int

// parseOutcome reads "a=1 b=0".
func parseOutcome(s string) outcome {
	o := make(outcome)
	for _, f := range strings.Fields(s) {
		name, v, ok := strings.Cut(f, "=")
		n, err := strconv.Atoi(v)
		if !ok || err != nil {
			panic("litmus: outcome " + s)
		}
		o[name] = n
	}
	return o
}

func (o outcome) String() string {
	var b []string
	for _, k := range slices.Sorted(maps.Keys(o)) {
		b = append(b, fmt.Sprintf("%s=%d", k, o[k]))
	}
	return strings.Join(b, " ")
}
