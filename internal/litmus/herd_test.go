package litmus

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestHerd compares the explorer with herd7, the simulator of the herdtools, for all known results and
// for all handshakes, with all orderings and without each single one. It needs herd7, with its models,
// in PATH: https://github.com/herd/herdtools7. MP_HERD7 may give another command, with flags.
func TestHerd(t *testing.T) {
	command := strings.Fields(os.Getenv("MP_HERD7"))
	if len(command) == 0 {
		command = []string{"herd7"}
	}
	if _, err := exec.LookPath(command[0]); err != nil {
		t.Skip("there is no herd7")
	}
	type question struct {
		what    string
		m       *machine
		p       program
		outcome string
	}
	var questions []question
	ask := func(what string, p program, outcome string) {
		for _, m := range machines {
			if herdCan(m, p) {
				questions = append(questions, question{what, m, p, outcome})
			}
		}
	}
	for _, v := range verdicts {
		ask(v.name, v.threads, v.outcome)
	}
	for _, h := range handshakes {
		for _, o := range h.forbidden {
			p := h.program()
			ask(h.name, p, o)
			for i := range p.threads {
				for j := range p.threads[i] {
					if p.threads[i][j].ordered() && !p.threads[i][j].fence {
						ask(fmt.Sprintf("%s, without the order of %v", h.name, p.threads[i][j]), p.weaken(i, j), o)
					}
				}
			}
		}
	}
	// The long ones may take minutes.
	slices.SortStableFunc(questions, func(a, b question) int { return cmp.Compare(a.p.size(), b.p.size()) })
	deadline, limited := t.Deadline()
	dir := t.TempDir()
	var files []string
	for i, q := range questions {
		file := filepath.Join(dir, fmt.Sprintf("q%d.litmus", i))
		if err := os.WriteFile(file, []byte(herdProgram(fmt.Sprintf("q%d", i), q.m, q.p, q.outcome)), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	answer := regexp.MustCompile(`(?m)^Observation (\S+) (Never|Sometimes|Always)`)
	same, slow := make(map[string]int), 0
	for i, q := range questions {
		if limited && time.Until(deadline) < 10*time.Second {
			slow += len(questions) - i
			break
		}
		cmd := exec.Command(command[0], append(slices.Clone(command[1:]), "-speedcheck", "fast", "-timeout", "1", files[i])...)
		out, err := cmd.CombinedOutput()
		if text := herdProgram("q", q.m, q.p, q.outcome); err != nil || bytes.Contains(out, []byte("Warning: File")) {
			t.Fatalf("%s, %s: herd7: %v\n%s\n%s", q.what, q.m.name, err, out, text)
		} else if a := answer.FindSubmatch(out); a == nil {
			slow++
		} else {
			got, _ := q.m.allows(q.p, parseOutcome(q.outcome), true)
			if want := string(a[2]) != "Never"; got != want {
				t.Errorf("%s, %s: %s is allowed: %t, herd7 says %t:\n%s", q.what, q.m.name, q.outcome, got, want, text)
			} else {
				same[fmt.Sprintf("%s, allowed %t", q.m.name, got)]++
			}
		}
	}
	t.Logf("of %d questions herd7 did not answer %d in time; the same: %v", len(questions), slow, same)
}

// size returns the number of operations.
func (p program) size() (n int) {
	for _, ops := range p.threads {
		n += len(ops)
	}
	return n
}

// herdCan reports whether herd7 can be asked. It knows nothing of membarrier, and of x86 only plain
// accesses, XCHG and fences are translated.
func herdCan(m *machine, p program) bool {
	for _, ops := range p.threads {
		for _, o := range ops {
			switch {
			case m != amd64:
			case o.kind == is, o.kind == heavy, o.kind.updates(), o.addr != "", o.data != "":
				return false
			}
			if o.kind == amo && m == arm64 {
				return false
			}
		}
	}
	return true
}

// A herdThread is a thread in the assembly language of herd7.
type herdThread struct {
	m     *machine
	code  []string
	regs  map[string]int // registers of the program
	locs  map[string]int // registers with addresses
	marks int

	status string // register with the result of the last store-conditional, if there is one
}

func (h *herdThread) put(format string, args ...any) {
	h.code = append(h.code, fmt.Sprintf(format, args...))
}

func numbered(names map[string]int, name string, first int) int {
	n, ok := names[name]
	if !ok {
		n = first + len(names)
		names[name] = n
	}
	return n
}

// herdNever is the value of a register that the thread did not come to.
const herdNever = 99

// herdProgram returns a program as input for herd7, with the question whether it has the outcome.
func herdProgram(name string, m *machine, p program, want string) string {
	arch := map[*machine]string{amd64: "X86", arm64: "AArch64", arm64LSE: "AArch64", riscv64: "RISCV"}[m]
	x := map[*machine]string{arm64: "X", arm64LSE: "X", riscv64: "x"}[m]
	var init, exists []string
	var columns [][]string
	locs := make(map[string]bool)
	wanted := parseOutcome(want)
	for i, ops := range p.threads {
		h := &herdThread{m: m, regs: make(map[string]int), locs: make(map[string]int)}
		for j, o := range ops {
			if o.reg == "" && (o.kind.readsOnly() || o.kind.updates()) {
				o.reg = fmt.Sprintf("unused %d %d", i, j)
			}
			if o.loc != "" {
				locs[o.loc] = true
			}
			switch m {
			case amd64:
				h.x86(o)
			case riscv64:
				h.riscv(o)
			default:
				h.arm(o)
			}
		}
		if m != amd64 {
			h.put("LE%d:", i)
		}
		if h.status != "" { // a store-conditional that fails ends the thread, in no outcome that is wanted
			exists = append(exists, fmt.Sprintf("%d:%s=0", i, h.status))
		}
		for k, c := range h.code {
			h.code[k] = strings.ReplaceAll(strings.ReplaceAll(c, "END", fmt.Sprintf("LE%d", i)), "MARK", fmt.Sprintf("LM%d", i))
		}
		columns = append(columns, h.code)
		for loc, r := range h.locs {
			init = append(init, fmt.Sprintf("%d:%s%d=%s;", i, x, r, herdName(loc)))
		}
		for reg, r := range h.regs {
			v, ok := wanted[reg]
			at := fmt.Sprintf("%d:%s%d", i, x, r)
			if m == amd64 {
				at = fmt.Sprintf("%d:%s", i, herdX86[r])
			} else {
				init = append(init, fmt.Sprintf("%s=%d;", at, herdNever))
			}
			if ok {
				exists = append(exists, fmt.Sprintf("%s=%d", at, v))
			}
		}
	}
	for loc := range locs {
		if v, ok := wanted[loc]; ok {
			exists = append(exists, fmt.Sprintf("[%s]=%d", herdName(loc), v))
		}
	}
	rows := 0
	for _, c := range columns {
		rows = max(rows, len(c))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n{\n%s\n}\n", arch, name, strings.Join(init, "\n"))
	for row := -1; row < rows; row++ {
		var cells []string
		for i, c := range columns {
			cell := ""
			if row < 0 {
				cell = fmt.Sprintf("P%d", i)
			} else if row < len(c) {
				cell = c[row]
			}
			cells = append(cells, cell)
		}
		fmt.Fprintf(&b, " %s ;\n", strings.Join(cells, " | "))
	}
	fmt.Fprintf(&b, "exists (%s)\n", strings.Join(exists, " /\\ "))
	return b.String()
}

func herdName(loc string) string { return strings.ReplaceAll(loc, " ", "_") }

// The registers: 1 to 7 those of the program, 8 to 11 for intermediate results, 20 and up addresses;
// on RISC-V 5 and up, 12 to 15, and 20 and up.

func (h *herdThread) arm(o op) {
	r := func(name string) int { return numbered(h.regs, name, 1) }
	var addr, reg string
	if o.loc != "" {
		addr = fmt.Sprintf("[X%d]", numbered(h.locs, o.loc, 20))
	}
	if o.reg != "" {
		reg = fmt.Sprintf("W%d", r(o.reg))
	}
	if o.addr != "" {
		h.put("EOR W8,W%d,W%d", r(o.addr), r(o.addr))
		addr = strings.TrimSuffix(addr, "]") + ",W8,SXTW]"
	}
	value := func() string {
		if o.data != "" {
			h.put("EOR W10,W%d,W%d", r(o.data), r(o.data))
			h.put("ADD W9,W10,#%d", o.val)
		} else {
			h.put("MOV W9,#%d", o.val)
		}
		return "W9"
	}
	ordered := func(with, without string) string {
		if o.relaxed {
			return without
		}
		return with
	}
	single := h.m == arm64LSE
	switch o.kind {
	case read:
		h.put("LDR %s,%s", reg, addr)
	case load, copyTo, acquire:
		h.put("%s %s,%s", ordered("LDAR", "LDR"), reg, addr)
	case acquirePC:
		h.put("LDAPR %s,%s", reg, addr)
	case write:
		h.put("STR %s,%s", value(), addr)
	case store, copyIn, put, release:
		h.put("%s %s,%s", ordered("STLR", "STR"), value(), addr)
	case is:
		h.put("CMP %s,#%d", reg, o.val)
		h.put("B.NE END")
	case full:
		h.put("DMB ISH")
	case fullR:
		h.put("DMB ISHLD")
	case fullW:
		h.put("DMB ISHST")
	case heavy:
	case amo:
		h.put("LDADD %s,%s,%s", value(), reg, addr)
	case cas, claim:
		if single {
			h.put("MOV %s,#%d", reg, o.old)
			h.put("%s %s,%s,%s", ordered("CASAL", "CAS"), reg, value(), addr)
			if o.kind == claim {
				h.put("CMP %s,#%d", reg, o.old)
				h.put("B.NE END")
			}
			return
		}
		to := "END"
		if o.kind == cas {
			h.marks++
			to = fmt.Sprintf("MARK%d", h.marks)
		}
		h.put("%s %s,%s", ordered("LDAXR", "LDXR"), reg, addr)
		h.put("CMP %s,#%d", reg, o.old)
		h.put("B.NE %s", to)
		h.put("%s W11,%s,%s", ordered("STLXR", "STXR"), value(), addr)
		h.put("CBNZ W11,END")
		h.status = "X11"
		if o.kind == cas {
			h.put("%s:", to)
		}
	case add, set, swap:
		names := map[kind][2]string{add: {"LDADDAL", "LDADD"}, set: {"SWPAL", "SWP"}, swap: {"SWPAL", "SWP"}}[o.kind]
		if single {
			h.put("%s %s,%s,%s", ordered(names[0], names[1]), value(), reg, addr)
			return
		}
		h.put("%s %s,%s", ordered("LDAXR", "LDXR"), reg, addr)
		if o.kind == add {
			h.put("ADD W9,%s,#%d", reg, o.val)
		} else {
			value()
		}
		h.put("%s W11,W9,%s", ordered("STLXR", "STXR"), addr)
		h.put("CBNZ W11,END")
		h.status = "X11"
	}
}

func (h *herdThread) riscv(o op) {
	r := func(name string) int { return numbered(h.regs, name, 5) }
	var addr, reg string
	if o.loc != "" {
		addr = fmt.Sprintf("x%d", numbered(h.locs, o.loc, 20))
	}
	if o.reg != "" {
		reg = fmt.Sprintf("x%d", r(o.reg))
	}
	if o.addr != "" {
		h.put("xor x12,x%d,x%d", r(o.addr), r(o.addr))
		h.put("add x15,%s,x12", addr)
		addr = "x15"
	}
	value := func() string {
		if o.data != "" {
			h.put("xor x14,x%d,x%d", r(o.data), r(o.data))
			h.put("ori x13,x14,%d", o.val)
		} else {
			h.put("ori x13,x0,%d", o.val)
		}
		return "x13"
	}
	ordered := func(with, without string) string {
		if o.relaxed {
			return without
		}
		return with
	}
	switch o.kind {
	case read:
		h.put("lw %s,0(%s)", reg, addr)
	case load, copyTo, acquire:
		if o.relaxed {
			h.put("lw %s,0(%s)", reg, addr)
		} else {
			h.put("lr.w.aq %s,(%s)", reg, addr)
		}
	case acquirePC:
		h.put("lw %s,0(%s)", reg, addr)
		h.put("fence r,rw")
	case write:
		h.put("sw %s,0(%s)", value(), addr)
	case store, copyIn, put, release:
		if o.relaxed {
			h.put("sw %s,0(%s)", value(), addr)
		} else {
			h.put("amoswap.w.%s x0,%s,(%s)", map[bool]string{true: "rl", false: "aq.rl"}[o.kind == release], value(), addr)
		}
	case is:
		h.put("ori x14,x0,%d", o.val)
		h.put("bne %s,x14,END", reg)
	case full:
		h.put("fence rw,rw")
	case fullR:
		h.put("fence r,rw")
	case fullW:
		h.put("fence w,w")
	case heavy:
	case amo:
		h.put("amoadd.w %s,%s,(%s)", reg, value(), addr)
	case add:
		h.put("amoadd.w%s %s,%s,(%s)", ordered(".aq.rl", ""), reg, value(), addr)
	case set, swap:
		h.put("amoswap.w%s %s,%s,(%s)", ordered(".aq.rl", ""), reg, value(), addr)
	case cas, claim:
		to := "END"
		if o.kind == cas {
			h.marks++
			to = fmt.Sprintf("MARK%d", h.marks)
		}
		h.put("lr.w%s %s,(%s)", ordered(".aq", ""), reg, addr)
		h.put("ori x14,x0,%d", o.old)
		h.put("bne %s,x14,%s", reg, to)
		h.put("sc.w%s x16,%s,(%s)", ordered(".rl", ""), value(), addr)
		h.put("bne x16,x0,END")
		h.status = "x16"
		if o.kind == cas {
			h.put("%s:", to)
		}
	}
}

var herdX86 = []string{"EAX", "EBX", "ECX", "EDX", "ESI"}

func (h *herdThread) x86(o op) {
	reg := ""
	if o.reg != "" {
		reg = herdX86[numbered(h.regs, o.reg, 0)]
	}
	addr := "[" + herdName(o.loc) + "]"
	switch {
	case o.kind.readsOnly():
		h.put("MOV %s,%s", reg, addr)
	case o.kind == full:
		h.put("MFENCE")
	case o.kind == store && !o.relaxed:
		h.put("MOV EDI,$%d", o.val)
		h.put("XCHG %s,EDI", addr)
	case o.kind == write, o.kind == store, o.kind == put, o.kind == copyIn, o.kind == release:
		h.put("MOV %s,$%d", addr, o.val)
	}
}
