package litmus

import (
	"strings"
	"testing"
)

// A verdict is a litmus test of the literature with the machines that allow its outcome: x is amd64,
// a arm64, l arm64 LSE and r riscv64.
type verdict struct {
	name    string
	threads program
	outcome string
	allowed string
}

func prog(threads ...[]op) program { return program{threads} }

// The names are those of "Herding Cats" and of the herdtools: a shape, and what orders the accesses of
// each of its threads (po: nothing). acq is a load-acquire, rel a store-release.
var verdicts = []verdict{
	// Coherence.
	{"CoRR", prog(
		thread(opWrite("x", 1)),
		thread(opRead("x", "a"), opRead("x", "b"))), "a=1 b=0", ""},
	{"CoWW", prog(thread(opWrite("x", 1), opWrite("x", 2))), "x=1", ""},
	{"CoWR", prog(
		thread(opWrite("x", 1), opRead("x", "a")),
		thread(opWrite("x", 2))), "a=2 x=1", ""},
	{"CoRW", prog(
		thread(opRead("x", "a"), opWrite("x", 1)),
		thread(opWrite("x", 2))), "a=2 x=2", ""},
	{"CoRW1", prog(thread(opRead("x", "a"), opWrite("x", 1))), "a=1", ""},

	// Message passing.
	{"MP", prog(
		thread(opWrite("x", 1), opWrite("y", 1)),
		thread(opRead("y", "a"), opRead("x", "b"))), "a=1 b=0", "alr"},
	{"MP+rel+acq", prog(
		thread(opWrite("x", 1), opRelease("y", 1)),
		thread(opAcquire("y", "a"), opRead("x", "b"))), "a=1 b=0", ""},
	{"MP+rel+acqpc", prog(
		thread(opWrite("x", 1), opRelease("y", 1)),
		thread(opAcquirePC("y", "a"), opRead("x", "b"))), "a=1 b=0", ""},
	{"MP+rel+po", prog(
		thread(opWrite("x", 1), opRelease("y", 1)),
		thread(opRead("y", "a"), opRead("x", "b"))), "a=1 b=0", "alr"},
	{"MP+po+acq", prog(
		thread(opWrite("x", 1), opWrite("y", 1)),
		thread(opAcquire("y", "a"), opRead("x", "b"))), "a=1 b=0", "alr"},
	{"MP+fences", prog(
		thread(opWrite("x", 1), opFull(), opWrite("y", 1)),
		thread(opRead("y", "a"), opFull(), opRead("x", "b"))), "a=1 b=0", ""},
	{"MP+fenceww+fencerr", prog(
		thread(opWrite("x", 1), opFullW(), opWrite("y", 1)),
		thread(opRead("y", "a"), opFullR(), opRead("x", "b"))), "a=1 b=0", ""},
	{"MP+fencerr+fencerr", prog(
		thread(opWrite("x", 1), opFullR(), opWrite("y", 1)),
		thread(opRead("y", "a"), opFullR(), opRead("x", "b"))), "a=1 b=0", "alr"},
	{"MP+fence+addr", prog(
		thread(opWrite("x", 1), opFull(), opWrite("y", 1)),
		thread(opRead("y", "a"), opRead("x", "b").addrOf("a"))), "a=1 b=0", ""},
	{"MP+fence+ctrl", prog(
		thread(opWrite("x", 1), opFull(), opWrite("y", 1)),
		thread(opRead("y", "a"), opIs("a", 1), opRead("x", "b"))), "a=1 b=0", "alr"},
	{"MP+fence+ctrl-rfi-addr (PPOCA)", prog(
		thread(opWrite("x", 1), opFull(), opWrite("y", 1)),
		thread(opRead("y", "a"), opIs("a", 1), opWrite("z", 1), opRead("z", "c"), opRead("x", "b").addrOf("c"))),
		"a=1 c=1 b=0", "alr"},
	{"MP+fence+data-rfi-addr (PPOAA)", prog(
		thread(opWrite("x", 1), opFull(), opWrite("y", 1)),
		thread(opRead("y", "a"), opWrite("z", 1).dataOf("a"), opRead("z", "c"), opRead("x", "b").addrOf("c"))),
		"a=1 c=1 b=0", ""},
	{"MP+fence+addr-po-addr (RSW)", prog(
		thread(opWrite("x", 1), opFull(), opWrite("y", 1)),
		thread(opRead("y", "a"), opRead("z", "c").addrOf("a"), opRead("z", "d"), opRead("x", "b").addrOf("d"))),
		"a=1 c=0 d=0 b=0", "alr"},
	{"MP+fence+addr-po-addr (RDW)", prog(
		thread(opWrite("x", 1), opFull(), opWrite("y", 1)),
		thread(opRead("y", "a"), opRead("z", "c").addrOf("a"), opRead("z", "d"), opRead("x", "b").addrOf("d")),
		thread(opWrite("z", 1))), "a=1 c=0 d=1 b=0", ""},
	{"MP+add+add", prog(
		thread(opWrite("x", 1), opAdd("y", 1)),
		thread(opAdd("y", 1).to("a"), opRead("x", "b"))), "a=1 b=0", ""},
	{"MP+cas+cas", prog(
		thread(opWrite("x", 1), opCAS("y", 0, 1)),
		thread(opCAS("y", 1, 2).to("a"), opRead("x", "b"))), "a=1 b=0", ""},
	{"MP+amo+amo", prog(
		thread(opWrite("x", 1), opAMO("y", 1)),
		thread(opAMO("y", 1).to("a"), opRead("x", "b"))), "a=1 b=0", "alr"},

	// Store buffering.
	{"SB", prog(
		thread(opWrite("x", 1), opRead("y", "a")),
		thread(opWrite("y", 1), opRead("x", "b"))), "a=0 b=0", "xalr"},
	{"SB+fences", prog(
		thread(opWrite("x", 1), opFull(), opRead("y", "a")),
		thread(opWrite("y", 1), opFull(), opRead("x", "b"))), "a=0 b=0", ""},
	{"SB+fence+po", prog(
		thread(opWrite("x", 1), opFull(), opRead("y", "a")),
		thread(opWrite("y", 1), opRead("x", "b"))), "a=0 b=0", "xalr"},
	{"SB+rel-acqs", prog(
		thread(opRelease("x", 1), opAcquire("y", "a")),
		thread(opRelease("y", 1), opAcquire("x", "b"))), "a=0 b=0", "x"},
	{"SB+rel-acqpcs", prog(
		thread(opRelease("x", 1), opAcquirePC("y", "a")),
		thread(opRelease("y", 1), opAcquirePC("x", "b"))), "a=0 b=0", "xalr"},
	{"SB+rfi-po", prog(
		thread(opWrite("x", 1), opRead("x", "c"), opRead("y", "a")),
		thread(opWrite("y", 1), opRead("x", "b"))), "c=1 a=0 b=0", "xalr"},
	{"SB+rfi-acqs", prog(
		thread(opWrite("x", 1), opAcquire("x", "c"), opRead("y", "a")),
		thread(opWrite("y", 1), opAcquire("y", "d"), opRead("x", "b"))), "c=1 d=1 a=0 b=0", "xalr"},
	{"SB+amo-rfi-acqs", prog(
		thread(opAMO("x", 1), opAcquire("x", "c"), opRead("y", "a")),
		thread(opAMO("y", 1), opAcquire("y", "d"), opRead("x", "b"))), "c=1 d=1 a=0 b=0", "al"},
	{"SB+add-pos", prog( // the addition does not come before the read as a whole
		thread(opAdd("x", 1), opRead("y", "a")),
		thread(opAdd("y", 1), opRead("x", "b"))), "a=0 b=0", "a"},
	{"SB+po-add-pos", prog( // an addition as a fence
		thread(opWrite("x", 1), opAdd("z", 1), opRead("y", "a")),
		thread(opWrite("y", 1), opAdd("u", 1), opRead("x", "b"))), "a=0 b=0", "a"},
	{"SB+po-cas-pos", prog( // the same with a pair on riscv64
		thread(opWrite("x", 1), opCAS("z", 0, 1), opRead("y", "a")),
		thread(opWrite("y", 1), opCAS("u", 0, 1), opRead("x", "b"))), "a=0 b=0", "ar"},
	{"3.SB", prog(
		thread(opWrite("x", 1), opRead("y", "a")),
		thread(opWrite("y", 1), opRead("z", "b")),
		thread(opWrite("z", 1), opRead("x", "c"))), "a=0 b=0 c=0", "xalr"},
	{"3.SB+rel-acqs", prog(
		thread(opRelease("x", 1), opAcquire("y", "a")),
		thread(opRelease("y", 1), opAcquire("z", "b")),
		thread(opRelease("z", 1), opAcquire("x", "c"))), "a=0 b=0 c=0", "x"},

	// Load buffering.
	{"LB", prog(
		thread(opRead("x", "a"), opWrite("y", 1)),
		thread(opRead("y", "b"), opWrite("x", 1))), "a=1 b=1", "alr"},
	{"LB+datas", prog(
		thread(opRead("x", "a"), opWrite("y", 1).dataOf("a")),
		thread(opRead("y", "b"), opWrite("x", 1).dataOf("b"))), "a=1 b=1", ""},
	{"LB+ctrls", prog(
		thread(opRead("x", "a"), opIs("a", 1), opWrite("y", 1)),
		thread(opRead("y", "b"), opIs("b", 1), opWrite("x", 1))), "a=1 b=1", ""},
	{"LB+addrs", prog(
		thread(opRead("x", "a"), opWrite("y", 1).addrOf("a")),
		thread(opRead("y", "b"), opWrite("x", 1).addrOf("b"))), "a=1 b=1", ""},
	{"LB+data+po", prog(
		thread(opRead("x", "a"), opWrite("y", 1).dataOf("a")),
		thread(opRead("y", "b"), opWrite("x", 1))), "a=1 b=1", "alr"},
	{"LB+addr-po+data", prog( // the write after an access whose address is not known waits for that
		thread(opRead("x", "a"), opRead("z", "c").addrOf("a"), opWrite("y", 1)),
		thread(opRead("y", "b"), opWrite("x", 1).dataOf("b"))), "a=1 b=1", ""},
	{"LB+acqs", prog(
		thread(opAcquire("x", "a"), opWrite("y", 1)),
		thread(opAcquire("y", "b"), opWrite("x", 1))), "a=1 b=1", ""},
	{"LB+rels", prog(
		thread(opRead("x", "a"), opRelease("y", 1)),
		thread(opRead("y", "b"), opRelease("x", 1))), "a=1 b=1", ""},
	{"LB+acq+po", prog(
		thread(opAcquire("x", "a"), opWrite("y", 1)),
		thread(opRead("y", "b"), opWrite("x", 1))), "a=1 b=1", "alr"},

	// Two writers.
	{"2+2W", prog(
		thread(opWrite("x", 1), opWrite("y", 2)),
		thread(opWrite("y", 1), opWrite("x", 2))), "x=1 y=1", "alr"},
	{"2+2W+rels", prog(
		thread(opWrite("x", 1), opRelease("y", 2)),
		thread(opWrite("y", 1), opRelease("x", 2))), "x=1 y=1", ""},
	{"2+2W+fencewws", prog(
		thread(opWrite("x", 1), opFullW(), opWrite("y", 2)),
		thread(opWrite("y", 1), opFullW(), opWrite("x", 2))), "x=1 y=1", ""},
	{"R", prog(
		thread(opWrite("x", 1), opWrite("y", 1)),
		thread(opWrite("y", 2), opRead("x", "a"))), "a=0 y=2", "xalr"},
	{"R+fences", prog(
		thread(opWrite("x", 1), opFull(), opWrite("y", 1)),
		thread(opWrite("y", 2), opFull(), opRead("x", "a"))), "a=0 y=2", ""},
	{"R+rel+rel-acq", prog(
		thread(opWrite("x", 1), opRelease("y", 1)),
		thread(opRelease("y", 2), opAcquire("x", "a"))), "a=0 y=2", "x"},
	{"R+fence+po", prog(
		thread(opWrite("x", 1), opFull(), opWrite("y", 1)),
		thread(opWrite("y", 2), opRead("x", "a"))), "a=0 y=2", "xalr"},
	{"S", prog(
		thread(opWrite("x", 2), opWrite("y", 1)),
		thread(opRead("y", "a"), opWrite("x", 1))), "a=1 x=2", "alr"},
	{"S+rel+acq", prog(
		thread(opWrite("x", 2), opRelease("y", 1)),
		thread(opAcquire("y", "a"), opWrite("x", 1))), "a=1 x=2", ""},
	{"S+rel+data", prog(
		thread(opWrite("x", 2), opRelease("y", 1)),
		thread(opRead("y", "a"), opWrite("x", 1).dataOf("a"))), "a=1 x=2", ""},
	{"S+rel+po", prog(
		thread(opWrite("x", 2), opRelease("y", 1)),
		thread(opRead("y", "a"), opWrite("x", 1))), "a=1 x=2", "alr"},

	// Three and four threads: stores reach all other processors at once.
	{"WRC", prog(
		thread(opWrite("x", 1)),
		thread(opRead("x", "a"), opWrite("y", 1)),
		thread(opRead("y", "b"), opRead("x", "c"))), "a=1 b=1 c=0", "alr"},
	{"WRC+data+addr", prog(
		thread(opWrite("x", 1)),
		thread(opRead("x", "a"), opWrite("y", 1).dataOf("a")),
		thread(opRead("y", "b"), opRead("x", "c").addrOf("b"))), "a=1 b=1 c=0", ""},
	{"WRC+rel+acq", prog(
		thread(opWrite("x", 1)),
		thread(opRead("x", "a"), opRelease("y", 1)),
		thread(opAcquire("y", "b"), opRead("x", "c"))), "a=1 b=1 c=0", ""},
	{"WRC+po+acq", prog(
		thread(opWrite("x", 1)),
		thread(opRead("x", "a"), opWrite("y", 1)),
		thread(opAcquire("y", "b"), opRead("x", "c"))), "a=1 b=1 c=0", "alr"},
	{"ISA2+rel+acq-rel+acq", prog(
		thread(opWrite("x", 1), opRelease("y", 1)),
		thread(opAcquire("y", "a"), opRelease("z", 1)),
		thread(opAcquire("z", "b"), opRead("x", "c"))), "a=1 b=1 c=0", ""},
	{"ISA2+rel+data+addr", prog(
		thread(opWrite("x", 1), opRelease("y", 1)),
		thread(opRead("y", "a"), opWrite("z", 1).dataOf("a")),
		thread(opRead("z", "b"), opRead("x", "c").addrOf("b"))), "a=1 b=1 c=0", ""},
	{"ISA2", prog(
		thread(opWrite("x", 1), opWrite("y", 1)),
		thread(opRead("y", "a"), opWrite("z", 1)),
		thread(opRead("z", "b"), opRead("x", "c"))), "a=1 b=1 c=0", "alr"},
	{"RWC", prog(
		thread(opWrite("x", 1)),
		thread(opRead("x", "a"), opRead("y", "b")),
		thread(opWrite("y", 1), opRead("x", "c"))), "a=1 b=0 c=0", "xalr"},
	{"RWC+acq+rel-acq", prog(
		thread(opWrite("x", 1)),
		thread(opAcquire("x", "a"), opRead("y", "b")),
		thread(opRelease("y", 1), opAcquire("x", "c"))), "a=1 b=0 c=0", "x"},
	{"RWC+acq+fence", prog(
		thread(opWrite("x", 1)),
		thread(opAcquire("x", "a"), opRead("y", "b")),
		thread(opWrite("y", 1), opFull(), opRead("x", "c"))), "a=1 b=0 c=0", ""},
	{"IRIW", prog(
		thread(opWrite("x", 1)), thread(opWrite("y", 1)),
		thread(opRead("x", "a"), opRead("y", "b")),
		thread(opRead("y", "c"), opRead("x", "d"))), "a=1 b=0 c=1 d=0", "alr"},
	{"IRIW+acqs", prog(
		thread(opWrite("x", 1)), thread(opWrite("y", 1)),
		thread(opAcquire("x", "a"), opRead("y", "b")),
		thread(opAcquire("y", "c"), opRead("x", "d"))), "a=1 b=0 c=1 d=0", ""},
	{"IRIW+addrs", prog(
		thread(opWrite("x", 1)), thread(opWrite("y", 1)),
		thread(opRead("x", "a"), opRead("y", "b").addrOf("a")),
		thread(opRead("y", "c"), opRead("x", "d").addrOf("c"))), "a=1 b=0 c=1 d=0", ""},

	// Atomicity.
	{"two additions", prog(
		thread(opAMO("x", 1)), thread(opAMO("x", 1))), "x=1", ""},
	{"an addition and a write", prog(
		thread(opAMO("x", 1).to("a")), thread(opWrite("x", 2))), "a=0 x=1", ""},
	{"two claims", prog(
		thread(opCAS("x", 0, 1).to("a")), thread(opCAS("x", 0, 2).to("b"))), "a=0 b=0", ""},
}

var letters = map[byte]*machine{'x': amd64, 'a': arm64, 'l': arm64LSE, 'r': riscv64}

// TestKnown compares the explorer with the literature.
func TestKnown(t *testing.T) {
	for _, v := range verdicts {
		t.Run(v.name, func(t *testing.T) {
			for letter, m := range letters {
				got, tried := m.allows(v.threads, parseOutcome(v.outcome), true)
				if want := strings.IndexByte(v.allowed, letter) >= 0; got != want {
					t.Errorf("%s allows %s: %t, want %t (%d candidates)", m.name, v.outcome, got, want, tried)
				}
			}
			if got, _ := sc.allows(v.threads, parseOutcome(v.outcome), true); got {
				t.Errorf("an interleaving allows %s", v.outcome)
			}
		})
	}
}
