package litmus

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// ordered reports whether weaken changes the operation.
func (o op) ordered() bool {
	return o.kind != read && o.kind != write && o.kind != is && o.kind < acquirePC || o.kind == release
}

// allows reports whether the machine allows one of the handshake's outcomes in p.
func (h *handshake) allows(m *machine, p program, doubtful bool) bool {
	return slices.ContainsFunc(h.forbidden, func(o string) bool {
		allowed, _ := m.allows(p, parseOutcome(o), doubtful)
		return allowed
	})
}

// relaxed returns the handshake's program without any ordering.
func (h *handshake) relaxed() program {
	p := h.program()
	for i := range p.threads {
		for j := range p.threads[i] {
			p = p.weaken(i, j)
		}
	}
	return p
}

// needs returns the operations whose ordering the handshake needs on the machine: without that of one
// of them an outcome is allowed that must not happen. Doubtful orders count, so that
// the orderings that it returns are really needed.
func (h *handshake) needs(m *machine) (ops []op) {
	p := h.program()
	for i := range p.threads {
		for j, o := range p.threads[i] {
			if o.ordered() && h.allows(m, p.weaken(i, j), true) {
				ops = append(ops, o)
			}
		}
	}
	return ops
}

// TestHandshakes shows for each handshake and processor that no execution has an outcome that must not
// happen, even if doubtful orders count for nothing. And it shows that the test would find a mistake: an ordering without which the outcome is
// allowed. Only amd64 may need none, since it reorders nothing but a store and a later load.
func TestHandshakes(t *testing.T) {
	for _, h := range handshakes {
		t.Run(h.name, func(t *testing.T) {
			for _, m := range machines {
				for _, o := range h.forbidden {
					allowed, tried := m.allows(h.program(), parseOutcome(o), false)
					if allowed {
						t.Errorf("%s allows %s", m.name, o)
					}
					t.Logf("%s: %s: %d candidates", m.name, o, tried)
				}
				if m == amd64 && !h.allows(m, h.relaxed(), true) {
					continue
				}
				if needs := h.needs(m); len(needs) == 0 {
					t.Errorf("%s: no ordering is needed", m.name)
				} else {
					t.Logf("%s needs %v", m.name, needs)
				}
			}
		})
	}
}

// TestEveryOutcome shows that the test of each handshake can find a mistake by each of its outcomes.
func TestEveryOutcome(t *testing.T) {
	for _, h := range handshakes {
		for _, o := range h.forbidden {
			for _, m := range []*machine{arm64, arm64LSE, riscv64} {
				if allowed, _ := m.allows(h.relaxed(), parseOutcome(o), false); !allowed {
					t.Errorf("%s: %s forbids %s without any ordering", h.name, m.name, o)
				}
			}
		}
	}
}

// String returns the operation as Go code.
func (o op) String() string {
	switch o.kind {
	case read:
		return fmt.Sprintf("%s = %s", o.reg, o.loc)
	case write:
		return fmt.Sprintf("%s = %d", o.loc, o.val)
	case load:
		return fmt.Sprintf("%s = %s.Load()", o.reg, o.loc)
	case store:
		return fmt.Sprintf("%s.Store(%d)", o.loc, o.val)
	case add:
		return fmt.Sprintf("%s.Add(%d)", o.loc, o.val)
	case set:
		if o.clears {
			return fmt.Sprintf("%s.And(^bit)", o.loc)
		}
		return fmt.Sprintf("%s.Or(bit)", o.loc)
	case swap:
		return fmt.Sprintf("%s.Swap(%d)", o.loc, o.val)
	case cas, claim:
		return fmt.Sprintf("%s.CAS(%d, %d)", o.loc, o.old, o.val)
	case put:
		return fmt.Sprintf("Publish(%s, %d)", o.loc, o.val)
	case copyIn:
		return fmt.Sprintf("put(%s, %d)", o.loc, o.val)
	case copyTo:
		return fmt.Sprintf("%s = get(%s)", o.reg, o.loc)
	case heavy:
		return "Heavy()"
	case is:
		return fmt.Sprintf("if %s == %d", o.reg, o.val)
	case release:
		return o.loc + " by the kernel"
	case acquire:
		return fmt.Sprintf("%s = %s by the kernel", o.reg, o.loc)
	case full:
		return "fence of the kernel"
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s %s", o.kind, o.loc, o.reg))
}

// TestArrayAndClose shows what mp does not promise: Array.At reads an element by a plain load and then
// looks whether the array is closed. Where loads are reordered, an At at the same time as Close may
// return the 0 that Close left.
func TestArrayAndClose(t *testing.T) {
	p := prog(
		thread(opClaim("closed", 0, 1), opFull(), opWrite("page", 1)),
		thread(opRead("page", "p"), opLoad("closed", "c")))
	for _, m := range machines {
		if got, _ := m.allows(p, parseOutcome("p=1 c=0"), true); got != (m != amd64) {
			t.Errorf("%s allows it: %t", m.name, got)
		}
	}
}
