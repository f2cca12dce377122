package litmus

// A machine is a processor, as Go's compiler uses it, with its memory model.
type machine struct {
	name    string
	compile func(o op) code
	order   func(x *execution) *graph // edges that must not form a cycle
}

// A code is the events of an operation: fences, then a read, a write or both, then fences. Those that
// read and write are one instruction or a pair of load-exclusive and store-exclusive.
type code struct {
	before      []event
	read, write *event
	after       []event
}

// The machines. Go picks one of the two codes for arm64 when the program runs. sc executes one access
// after the other: the outcomes that it has, all others have.
var (
	amd64    = &machine{"amd64", compileAMD64, orderTSO}
	arm64    = &machine{"arm64", compileARM64, orderARMv8}        // LDAXR and STLXR
	arm64LSE = &machine{"arm64 LSE", compileARM64LSE, orderARMv8} // CASAL, LDADDAL, SWPAL
	riscv64  = &machine{"riscv64", compileRISCV64, orderRVWMO}
	sc       = &machine{"SC", compileAMD64, orderSC}

	machines = []*machine{amd64, arm64, arm64LSE, riscv64}
)

// shape returns the code of o without any ordering: which events it has.
func shape(o op) code {
	switch k := o.kind; {
	case k.readsOnly():
		return code{read: &event{}}
	case k.updates():
		return code{read: &event{}, write: &event{}}
	default:
		return code{write: &event{}}
	}
}

var everything = reads | writes

func fence(before, after eventKinds) event {
	return event{kind: fences, before: before, after: after}
}

// compileAMD64: loads, and stores by fence.Put, are MOV. Other atomic operations are locked
// instructions: XCHG, LOCK XADD, LOCK CMPXCHG. fence.Heavy is membarrier.
func compileAMD64(o op) code {
	c := shape(o)
	switch o.kind {
	case store:
		c.write.lock = !o.relaxed
	case add, swap, set, cas, claim, amo:
		c.read.lock, c.write.lock = true, true
		c.read.single, c.write.single = true, true
	case full, heavy:
		if o.relaxed {
			return code{}
		}
		f := fence(everything, everything)
		f.heavy = o.kind == heavy
		return code{before: []event{f}}
	case fullR, fullW:
		return code{} // the processor orders so much anyway
	}
	return c
}

// compileARM64: loads are LDAR, stores STLR, the rest LDAXR and STLXR, of which a CompareAndSwap that
// fails executes only the former.
func compileARM64(o op) code {
	c := shape(o)
	switch o.kind {
	case load, copyTo, acquire:
		c.read.acq = !o.relaxed
	case acquirePC:
		c.read.pc = true
	case store, copyIn, put, release:
		c.write.rel = !o.relaxed
	case add, swap, set, cas, claim:
		c.read.acq, c.write.rel = !o.relaxed, !o.relaxed
	case heavy:
		return code{}
	case full:
		return code{before: []event{fence(everything, everything)}}
	case fullR:
		return code{before: []event{fence(reads, everything)}}
	case fullW:
		return code{before: []event{fence(writes, writes)}}
	}
	return c
}

// compileARM64LSE differs in the read-modify-writes: CASAL, LDADDAL, SWPAL.
func compileARM64LSE(o op) code {
	c := compileARM64(o)
	if o.kind.updates() {
		c.read.single, c.write.single = true, true
	}
	return c
}

// compileRISCV64: loads are LR.aq, stores AMOSWAP.aqrl without a result, additions and swaps AMO.aqrl,
// CompareAndSwap is LR.aq and SC.rl. That a store acquires, too, is doubtful, since its AMO returns
// nothing.
func compileRISCV64(o op) code {
	c := shape(o)
	switch o.kind {
	case load, copyTo, acquire:
		c.read.acq = !o.relaxed
	case acquirePC:
		c.after = []event{fence(reads, everything)}
	case store, copyIn, put, release:
		c.write.rel = !o.relaxed
		c.write.drops = !o.relaxed && o.kind != release
	case add, swap, set, amo:
		c.read.single, c.write.single = true, true
		if !o.relaxed && o.kind != amo {
			c.read.acq, c.write.acq = true, true
			c.read.rel, c.write.rel = true, true
		}
	case cas, claim:
		c.read.acq, c.write.rel = !o.relaxed, !o.relaxed
	case heavy:
		return code{}
	case full:
		return code{before: []event{fence(everything, everything)}}
	case fullR:
		return code{before: []event{fence(reads, everything)}}
	case fullW:
		return code{before: []event{fence(writes, writes)}}
	}
	return c
}
