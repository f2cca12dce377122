package litmus

import (
	"flag"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("litmus.update", false, "write the table of docs/design/memory.md anew")

const page = "../../docs/design/memory.md"

// instructions returns what the orderings of an operation are on the machine.
func (m *machine) instructions(o op) string {
	rmw := map[kind]string{add: "LDADDAL", set: "LDORAL", cas: "CASAL", claim: "CASAL", swap: "SWPAL"}
	if o.kind == set && o.clears {
		rmw[set] = "LDCLRAL"
	}
	switch {
	case o.kind == acquire || o.kind == release:
		return "the kernel's"
	case m == amd64 && o.kind == heavy:
		return "membarrier"
	case m == amd64 && o.kind == store:
		return "XCHG"
	case m == amd64:
		return "LOCK"
	case o.kind.readsOnly() && m == riscv64:
		return "LR.aq"
	case o.kind.readsOnly():
		return "LDAR"
	case !o.kind.updates() && m == riscv64:
		return "AMOSWAP.aqrl"
	case !o.kind.updates():
		return "STLR"
	case m == arm64LSE:
		return rmw[o.kind]
	case m == arm64:
		return "LDAXR, STLXR"
	case o.kind == cas || o.kind == claim:
		return "LR.aq, SC.rl"
	}
	return "AMO.aqrl"
}

// table returns the handshakes as a table.
func table() string {
	var b strings.Builder
	b.WriteString("| handshake, shape | sides | must not happen | needed |\n|-|-|-|-|\n")
	for _, h := range handshakes {
		var sides []string
		for i, s := range h.sides {
			var names []string
			for _, c := range s.code {
				file, name, _ := strings.Cut(c, ":")
				names = append(names, fmt.Sprintf("[%s](../../%s)", name, path.Clean(file)))
			}
			ops := mapSlice(s.ops, func(o op) string { return "`" + o.String() + "`" })
			sides = append(sides, fmt.Sprintf("%d. %s: %s", i+1, strings.Join(names, ", "), strings.Join(ops, "; ")))
		}
		fmt.Fprintf(&b, "| **%s**, %s | %s | %s `%s` | %s |\n",
			h.name, h.shape, strings.Join(sides, "<br>"), h.says, strings.Join(h.forbidden, "` or `"), h.needed())
	}
	return b.String()
}

// needed returns the operations whose order is needed, with the processors that need it.
func (h *handshake) needed() string {
	var ops []op
	by := make(map[string][]*machine)
	for _, m := range machines {
		for _, o := range h.needs(m) {
			key := fmt.Sprint(o)
			if by[key] == nil {
				ops = append(ops, o)
			}
			by[key] = append(by[key], m)
		}
	}
	var b []string
	for _, o := range ops {
		var how []string
		for _, m := range by[fmt.Sprint(o)] {
			if i := m.instructions(o); !slices.Contains(how, i) {
				how = append(how, i)
			}
		}
		b = append(b, fmt.Sprintf("`%v`: %s", o, strings.Join(how, ", ")))
	}
	return strings.Join(b, "<br>")
}

// TestPage shows that the table in the documents is that of the handshakes, and that what it says is
// needed is needed.
func TestPage(t *testing.T) {
	const begin, end = "<!-- part: litmus tests -->\n", "<!-- end -->\n"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(text), begin)
	old, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no part for the table", page)
	}
	now := "\n" + table() + "\n"
	switch {
	case old == now:
	case *update:
		if err := os.WriteFile(page, []byte(head+begin+now+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("the table of %s is not that of the handshakes: go test ./internal/litmus -litmus.update", page)
	}
}
