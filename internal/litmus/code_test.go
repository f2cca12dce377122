package litmus

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/seed-2e7ecdea/mp"

// An instruction is one of a compiled function.
type instruction struct {
	origin string // the function that has it in its source: type and method, or the name
	source string // the line of the source
	name   string
	args   string
}

// A listing has the compiled functions of mp by package, type and method, such as ring.stream.sendInline.
type listing struct {
	arch      string
	functions map[string][]instruction
	bytes     map[string][]byte
	sources   map[string]*source
}

// A source is a file with the names of the functions by line.
type source struct {
	lines     []string
	functions []string
}

func (l *listing) source(name string) (*source, error) {
	if s := l.sources[name]; s != nil {
		return s, nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, name, text, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	s := &source{lines: strings.Split(string(text), "\n")}
	s.functions = make([]string, len(s.lines)+1)
	for _, d := range f.Decls {
		if d, ok := d.(*ast.FuncDecl); ok {
			for i := set.Position(d.Pos()).Line; i <= set.Position(d.End()).Line; i++ {
				s.functions[i] = functionName(d)
			}
		}
	}
	l.sources[name] = s
	return s, nil
}

// functionName returns the name of a function, after its receiver's type if it has one.
func functionName(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return d.Name.Name
	}
	t := d.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.Name + "." + d.Name.Name
		default:
			return d.Name.Name
		}
	}
}

var (
	codePattern = regexp.MustCompile(`^\t0x[0-9a-f]+ \d+ \((.+):(\d+)\)\t(\S+)\t?(.*)$`)
	hexPattern  = regexp.MustCompile(`^\t0x[0-9a-f]{4,} ((?:[0-9a-f]{2} ){1,16})`)
)

// compile compiles mp for linux and a processor. It returns the assembly code that the compiler prints.
func compile(t *testing.T, arch string) *listing {
	cmd := exec.Command("go", "build", "-gcflags="+module+"/...=-S", "./testdata/probe")
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+arch, "GOARM64=v8.0", "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	var out bytes.Buffer
	cmd.Stderr = &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("go build for %s: %v\n%s", arch, err, out.Bytes()[max(0, out.Len()-2000):])
	}
	l := &listing{
		arch: arch, functions: make(map[string][]instruction),
		bytes: make(map[string][]byte), sources: make(map[string]*source),
	}
	wanted := make(map[string]bool)
	for f := range ordersOf(arch) {
		wanted[f] = true
	}
	for _, h := range handshakes {
		for _, s := range h.sides {
			for _, c := range s.code {
				wanted[symbol(c)] = true
			}
		}
	}
	name := ""
	lines := bufio.NewScanner(&out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		switch {
		case line == "" || line[0] != '\t':
			name = ""
			if head, rest, ok := strings.Cut(line, " STEXT "); ok && !strings.Contains(rest, " funcid=0x17 ") { // a wrapper
				name = l.begin(head)
			}
		case name == "" || !strings.HasPrefix(line, "\t0x"):
		case !hexPattern.MatchString(line): // an instruction
			if m := codePattern.FindStringSubmatch(line); m != nil && wanted[name] {
				i, err := l.instruction(m)
				if err != nil {
					t.Fatal(err)
				}
				l.functions[name] = append(l.functions[name], i)
			}
		case arch == "riscv64": // the code in numbers
			b, err := hex.DecodeString(strings.ReplaceAll(hexPattern.FindStringSubmatch(line)[1], " ", ""))
			if err != nil {
				t.Fatal(err)
			}
			l.bytes[name] = append(l.bytes[name], b...)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return l
}

// instruction makes an instruction of a match of codePattern.
func (l *listing) instruction(m []string) (instruction, error) {
	i := instruction{name: m[3], args: m[4]}
	n, err := strconv.Atoi(m[2])
	if err != nil || !filepath.IsAbs(m[1]) {
		return i, err
	}
	s, err := l.source(m[1])
	if err == nil && n > 0 && n < len(s.functions) {
		i.origin, i.source = s.functions[n], s.lines[n-1]
	}
	return i, err
}

// symbol returns the name in a listing of a function of a handshake.
func symbol(code string) string {
	file, name, _ := strings.Cut(code, ":")
	return path.Dir(file) + "." + name
}

var typeArguments = regexp.MustCompile(`\[go\.shape\.[^/]*?\]\)?\.|\[go\.shape\.[^/]*\]$`)

// begin returns the name for a symbol, "" if it is not to be read. Of a generic function it takes the
// code for [4]uint64, if there is some.
func (l *listing) begin(symbol string) string {
	rest, ok := strings.CutPrefix(symbol, module+"/")
	if !ok || strings.Contains(symbol, ".func") || strings.Contains(symbol, "deferwrap") {
		return ""
	}
	best := strings.Contains(rest, "[go.shape.[4]uint64]")
	name := strings.NewReplacer("(*", "", ")", "").Replace(typeArguments.ReplaceAllString(rest, "."))
	name = strings.TrimSuffix(name, ".")
	if l.functions[name] != nil && !best {
		return ""
	}
	l.functions[name], l.bytes[name] = nil, nil
	return name
}

// A class is a letter for what an instruction does:
//
//	L  an atomic load
//	S  an atomic store
//	P  a plain store by fence.Put, which is S on other processors than amd64
//	C  a CompareAndSwap
//	A  another atomic read-modify-write
//	m  a copy of a message or of a value
//	p  a call of queueCore.publish
//	f  a call of the kernel's membarrier
//	0  nothing of all that
func (l *listing) class(i instruction) byte {
	if i.name == "CALL" || i.name == "JAL" || i.name == "DUFFCOPY" {
		switch {
		case strings.Contains(i.args, "runtime.memmove"), strings.Contains(i.args, "value.slot["),
			strings.Contains(i.args, "/tear."), i.name == "DUFFCOPY":
			return 'm'
		case strings.Contains(i.args, ").publish("):
			return 'p'
		case i.origin == "Barrier" && strings.Contains(i.args, "unix.RawSyscall("):
			return 'f'
		case strings.Contains(i.args, "sync/atomic.Or"), strings.Contains(i.args, "sync/atomic.And"): // AMOOR, AMOAND
			return 'A'
		}
		return '0'
	}
	if (strings.Contains(i.source, "*k.slots.message(word)") || strings.Contains(i.source, "*dst = *src")) && i.name != "NOP" && i.name != "PCDATA" {
		return 'm'
	}
	operation := i.origin[strings.LastIndexByte(i.origin, '.')+1:]
	switch l.arch {
	case "amd64":
		switch {
		case strings.HasPrefix(i.name, "XCHG"):
			if i.args == "AX, AX" { // a NOP
				return '0'
			}
			return 'S'
		case strings.HasPrefix(i.name, "CMPXCHG"):
			return 'C'
		case strings.HasPrefix(i.name, "XADD"),
			operation == "Or" && strings.HasPrefix(i.name, "OR") && toMemory(i.args),
			operation == "And" && strings.HasPrefix(i.name, "AND") && toMemory(i.args):
			return 'A'
		case strings.HasPrefix(i.name, "MOV") && (operation == "Put64" || operation == "Put32") && toMemory(i.args):
			return 'P'
		case strings.HasPrefix(i.name, "MOV") && operation == "Load" && !toMemory(i.args):
			return 'L'
		}
	case "arm64":
		switch {
		case strings.HasPrefix(i.name, "LDAR"):
			return 'L'
		case strings.HasPrefix(i.name, "STLR"):
			return 'S'
		case strings.HasPrefix(i.name, "CASAL"):
			return 'C'
		case strings.HasPrefix(i.name, "LDADDAL"), strings.HasPrefix(i.name, "LDORAL"), strings.HasPrefix(i.name, "LDCLRAL"):
			return 'A'
		}
	case "riscv64":
		switch {
		case strings.HasPrefix(i.name, "LR") && operation == "Load":
			return 'L'
		case strings.HasPrefix(i.name, "AMOSWAP"):
			return 'S'
		case strings.HasPrefix(i.name, "SC"):
			return 'C'
		case strings.HasPrefix(i.name, "AMO"):
			return 'A'
		}
	}
	return '0'
}

// toMemory reports whether the last operand of an instruction of amd64 is memory, but not the stack.
func toMemory(args string) bool {
	return strings.HasSuffix(args, ")") && !strings.HasSuffix(args, "(SP)")
}

// classes returns the letters of the instructions of a function, in the order of the code. Several
// letters m in a row are one.
func (l *listing) classes(code []instruction) string {
	var b []byte
	for _, i := range code {
		if c := l.class(i); c != '0' && (c != 'm' || len(b) == 0 || b[len(b)-1] != 'm') {
			b = append(b, c)
		}
	}
	return string(b)
}

// pairs reports whether the function has the pair of instructions that does a read-modify-write where
// the processor may have no instruction for it.
func pairs(code []instruction) bool {
	load, store := false, false
	for _, i := range code {
		load = load || strings.HasPrefix(i.name, "LDAXR")
		store = store || strings.HasPrefix(i.name, "STLXR")
	}
	return load && store
}

// letter returns the class of instruction that the handshakes assume for o on a processor, 0 if it
// needs none.
func letter(o op, arch string) byte {
	switch o.kind {
	case load:
		return 'L'
	case store:
		return 'S'
	case put:
		if arch == "amd64" {
			return 'P'
		}
		return 'S'
	case cas, claim:
		return 'C'
	case add, set:
		return 'A'
	case heavy:
		if arch == "amd64" {
			return 'f'
		}
	}
	return 0
}

// orders are functions that copy or publish, and the order of their instructions, as a regular
// expression over classes. Q is a fence.Publish: fence.Put if that is possible, else an atomic store. W
// and R are a copy on amd64, and atomic stores and loads elsewhere.
var orders = map[string]string{
	"ring.stream.reserveInline":     `PL+P`,        // inside; the next header
	"ring.stream.commitInline":      `^PL*PPL`,     // header; tail, inside; the bias
	"ring.stream.sendInline":        `PL+PmL*PPPL`, // inside; the next header; the copy; header, tail, inside; the bias
	"ring.stream.receiveInline":     `PL+mPPL`,     // inside; the copy; head, inside; the bias
	"ring.Sender.Next":              `^PPL`,        // header, tail; the gate
	"ring.Receiver.Receive":         `^LPLL`,       // the epoch; head; the gate, the header
	"ring.Queue.Put":                `mp`,
	"ring.queueCore.put":            `mp`,
	"ring.queueCore.claimFree":      `CL`,   // the slot; shut
	"ring.queueCore.publish":        `^QQL`, // the slot; a hint; the gate
	"ring.queueCore.release":        `^QL`,  // the slot; the gate
	"ring.Broadcast.Publish":        `mp`,
	"ring.broadcastCore.put":        `mp`,
	"ring.broadcastCore.publish":    `^QQ`,   // the slot; a hint
	"ring.subscriberCore.moveTo":    `^QQL`,  // the position; the cursor; the gate
	"ring.subscriberCore.enter":     `^QL`,   // inside; closed
	"ring.biasedLock.acquireBiased": `LQL`,   // inside; the bias
	"ring.biasedLock.releaseBiased": `^QL`,   // inside; the bias
	"internal/robust.Mutex.Release": `^L+QL`, // the word; the gate
	"internal/wait.Gate.notify":     `^AL+C`, // quiet; the gate
	"value.core.publish":            `^mS$`,  // the copy; the number
	"value.core.read":               `LmL`,   // the number; the copy; the number
	"value.Integer.Load":            `LL`,    // the word; closed
	"sync.conditionCore.notify":     `SC`,    // until; the slot
	"sync.groupCore.perform":        `SLS+$`, // the shares; the total, the number
}

// ordersOf returns orders with the functions that copy to and from shared memory on that processor: word
// by word, with what is left by way of a local word, except on amd64, where copies are plain.
func ordersOf(arch string) map[string]string {
	all := maps.Clone(orders)
	if arch == "amd64" {
		all["internal/tear.Store"], all["internal/tear.Load"] = `^m+$`, `^m+$`
	} else {
		all["internal/tear.store"], all["internal/tear.load"] = `^W+m?W$`, `^R+m?$`
	}
	return all
}

// pattern returns the regular expression for a processor.
func (l *listing) pattern(order string) *regexp.Regexp {
	publish := strings.NewReplacer("Q", "S", "P", "S", "W", "S", "R", "L")
	if l.arch == "amd64" {
		publish = strings.NewReplacer("Q", "LPS", "W", "m", "R", "m")
	}
	return regexp.MustCompile(publish.Replace(order))
}

// TestCode shows that the functions of the handshakes are compiled to what the litmus tests assume,
// for each processor, and that data is copied before it is published, in the code too.
func TestCode(t *testing.T) {
	if _, err := exec.LookPath("go"); errors.Is(err, exec.ErrNotFound) {
		t.Skip("there is no go command")
	}
	for _, arch := range []string{"amd64", "arm64", "riscv64"} {
		t.Run(arch, func(t *testing.T) {
			l := compile(t, arch)
			found := 0
			for _, h := range handshakes {
				for _, s := range h.sides {
					var code []instruction
					for _, c := range s.code {
						f := symbol(c)
						if len(l.functions[f]) == 0 {
							t.Errorf("%s: there is no code of %s", h.name, f)
						}
						code = append(code, l.functions[f]...)
					}
					classes := l.classes(code)
					for _, o := range s.ops {
						switch c := letter(o, arch); {
						case c == 0:
						case strings.IndexByte(classes, c) < 0:
							t.Errorf("%s: %v: no instruction for %v", h.name, s.code, o)
						case arch == "arm64" && (c == 'C' || c == 'A') && !pairs(code):
							t.Errorf("%s: %v: no LDAXR and STLXR for %v", h.name, s.code, o)
						default:
							found++
						}
					}
				}
			}
			for f, order := range ordersOf(arch) {
				if got := l.classes(l.functions[f]); !l.pattern(order).MatchString(got) {
					t.Errorf("%s: instructions in the order %s, want %s", f, got, order)
				}
			}
			if arch == "riscv64" {
				t.Logf("%d atomic instructions are annotated", annotated(t, l))
			}
			t.Logf("%d operations of handshakes, %d functions in order", found, len(orders))
		})
	}
}

// annotated checks that all atomic instructions of riscv64 have the annotations that the litmus tests
// assume, which the assembly code does not show: LR.aq, SC.rl, AMO.aqrl. It returns their number.
func annotated(t *testing.T, l *listing) (n int) {
	const (
		atomics = 0x2f // opcode
		lr, sc  = 2, 3 // function
		aq, rl  = 2, 1 // annotations
	)
	for name, b := range l.bytes {
		for len(b) >= 4 {
			w := binary.LittleEndian.Uint32(b)
			if w&3 != 3 { // compressed, 16 bits
				b = b[2:]
				continue
			}
			b = b[4:]
			if w&0x7f != atomics {
				continue
			}
			n++
			want := uint32(aq | rl)
			switch w >> 27 {
			case lr:
				want = aq
			case sc:
				want = rl
			}
			if got := w >> 25 & 3; got != want {
				t.Errorf("%s: instruction %08x has annotations %d, want %d", name, w, got, want)
			}
		}
	}
	if n < 100 {
		t.Errorf("found only %d atomic instructions", n)
	}
	return n
}

// TestFunctionsExist shows that the functions of the handshakes are where the table says.
func TestFunctionsExist(t *testing.T) {
	l := &listing{sources: make(map[string]*source)}
	for _, h := range handshakes {
		for _, s := range h.sides {
			for _, c := range s.code {
				if err := l.exists(c); err != nil {
					t.Errorf("%s: %v", h.name, err)
				}
			}
		}
	}
}

func (l *listing) exists(code string) error {
	file, name, _ := strings.Cut(code, ":")
	s, err := l.source(filepath.Join("../..", filepath.FromSlash(file)))
	if err != nil {
		return err
	}
	for _, f := range s.functions {
		if f == name {
			return nil
		}
	}
	return fmt.Errorf("%s has no function %s", file, name)
}
