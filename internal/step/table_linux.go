package step

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/sys"
	"github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
)

var (
	all     = flag.Bool("step.all", false, "stop and kill at every instruction, not only at some")
	some    = flag.Int("step.points", 4, "without -step.all: at how many instructions of each row, in each mode; half as many if it has more than 1000")
	offset  = flag.Int("step.offset", -1, "without -step.all: begin with this one instead of a random one")
	repeats = flag.Int("step.repeats", 2, "how often to stop or kill at an instruction that is executed several times, such as in a loop")
	at      = flag.String("step.at", "", "try only the point of this name, which a failure prints")
	share   = flag.String("step.share", "1/1", "k/n: with -step.all, try only the kth of n shares of the points, so that n processes try all")
	page    = flag.String("step.page", "", "append what was tried of each row to this file, from which docs/design/instructions.md is made")
)

// NeedEnv names the variable that, if set, makes tests fail where ptrace is forbidden, instead of
// skipping them.
const NeedEnv = "MP_NEED_PTRACE"

// A Table is the operations of a package.
type Table[J any] struct {
	name string
	rows []Row[J]
	task *proc.Task[assignment[J], string]
	cpu  sys.ThreadCPUs // on which the threads of the test and of the child run while they take turns
	cpus sys.ThreadCPUs // on which other threads run

	stops  int   // rounds at full speed whose thread stopped at its point
	misses int   // the others
	parts  parts // of all rounds
}

// NewTable returns the table of a package's rows. It must be called during the initialization of
// the test program.
func NewTable[J any](name string, rows ...Row[J]) *Table[J] {
	tb := &Table[J]{name: name, rows: rows}
	tb.task = testkit.Task("step "+name, tb.perform)
	return tb
}

func (tb *Table[J]) find(name string) *Row[J] {
	i := slices.IndexFunc(tb.rows, func(r Row[J]) bool { return r.Name == name })
	if i < 0 {
		return nil
	}
	return &tb.rows[i]
}

// Run tries all rows, each as a subtest, and logs a report.
func (tb *Table[J]) Run(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long")
	}
	NeedPtrace(t)
	var report []line
	for i := range tb.rows {
		row := &tb.rows[i]
		t.Run(row.Name, func(t *testing.T) {
			begin := time.Now()
			l := tb.try(t, row)
			l.Took = time.Since(begin)
			report = append(report, l)
			if *page != "" && *at == "" {
				testkit.WantNil(t, "append to "+*page, l.appendTo(*page))
			}
		})
	}
	t.Log(tb.report(report))
	t.Logf("all rounds together: %v", &tb.parts)
}

// try tries one row in all its modes.
func (tb *Table[J]) try(t *testing.T, row *Row[J]) line {
	// The thread that attaches to a child is the one that must step it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// Both on one CPU take turns twice as fast as on two.
	var err error
	tb.cpu, tb.cpus, err = sys.BindThread()
	testkit.WantNil(t, "bind to a CPU", err)
	defer tb.cpus.Bind(0)
	walk := tb.walk(t, row)
	l := line{
		Table: tb.name, Row: row.Name, Promise: row.Promise, Slept: walk.slept,
		Instructions: walk.own, Points: len(walk.points), Functions: len(walk.functions()),
	}
	if *all {
		l.Share = *share
	}
	for mode, rounds := range []*int{Kill: &l.Kills, Stop: &l.Stops, StopKill: &l.StopsAndKills} {
		if Mode(mode) != Kill && row.Other == nil {
			continue
		}
		n, missed := tb.rounds(t, row, Mode(mode), walk.points)
		*rounds = n
		l.Missed += missed
	}
	return l
}

// rounds tries a row in one mode at its points, or at some of them. It returns the number of
// rounds, and of those in which the operation returned before it came to the point.
func (tb *Table[J]) rounds(t *testing.T, row *Row[J], mode Mode, points []point) (n, missed int) {
	first, stride := 0, 1
	if *all {
		_, err := fmt.Sscanf(*share, "%d/%d", &first, &stride)
		if first--; err != nil || first < 0 || first >= stride {
			t.Fatalf("-step.share=%s: want k/n with 1 <= k <= n", *share)
		}
	}
	if !*all && *at == "" {
		n := *some
		if len(points) > 1000 { // each round takes long
			n = (n + 1) / 2
		}
		stride = max(1, len(points)/n)
		first = rand.IntN(stride)
		if *offset >= 0 {
			first = *offset
		}
		t.Logf("%s at every %d. of %d points, -step.offset=%d", mode, stride, len(points), first)
	}
	var try []point
	for i := first; i < len(points); i += stride {
		if *at == "" || *at == points[i].String() {
			try = append(try, points[i])
		}
	}
	for _, p := range try {
		if tb.reach(t, row, mode, p) {
			missed++
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	return len(try), missed
}

// reach tries a row in one mode at one point: at full speed, which costs less, and then step by step. At full
// speed a wait may take another course, and not come to the point, and some virtual machines do not stop at
// any. reach reports whether the operation returned before it came there.
func (tb *Table[J]) reach(t *testing.T, row *Row[J], mode Mode, p point) (missed bool) {
	if tb.stops == 0 && tb.misses >= 4 {
		return tb.round(t, row, mode, p, true)
	}
	if !tb.round(t, row, mode, p, false) || t.Failed() {
		if p.pc != 0 {
			tb.stops++
		}
		return false
	}
	tb.misses++
	return tb.round(t, row, mode, p, true)
}

// slow is what a round takes in which a wake may have been lost: mp's waits look again by themselves,
// about every second.
const slow = 900 * time.Millisecond

// round tries a row in one mode at one point, to which the child goes step by step or at full speed.
// It reports whether the operation returned before it came there.
func (tb *Table[J]) round(t *testing.T, row *Row[J], mode Mode, p point, steps bool) (missed bool) {
	begun := time.Now()
	defer func() {
		if t.Failed() {
			t.Logf("%s at %s: again by -step.at=%s", mode, where(p.pc), p)
		}
	}()
	r := tb.begin(t, row, mode, steps)
	defer func() {
		r.end()
		r.parts.end()
		tb.parts.add(&r.parts)
		if took := time.Since(begun); took > slow {
			t.Logf("%.1f s: %s at %s, -step.at=%s: %v", took.Seconds(), mode, where(p.pc), p, &r.parts)
		}
	}()
	r.run(&p)
	return r.late && p.pc != 0
}

func (tb *Table[J]) report(lines []line) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n| %s | instructions | points | functions | kills | stops | stops and kills | missed | s |\n|-|-:|-:|-:|-:|-:|-:|-:|-:|\n", tb.name)
	sum := line{Row: "all"}
	for _, l := range lines {
		b.WriteString(l.reported())
		sum.add(l)
	}
	b.WriteString(sum.reported())
	return b.String()
}

// A walk is what is known after one execution of an operation, step by step.
type walk struct {
	own, other int // instructions
	points     []point
	slept      bool
}

// walk steps through the whole operation once.
func (tb *Table[J]) walk(t *testing.T, row *Row[J]) *walk {
	r := tb.begin(t, row, Stop, true)
	defer r.end()
	w := new(walk)
	r.walk = w
	r.run(nil)
	if t.Failed() {
		t.FailNow()
	}
	w.slept = r.o.Slept
	w.points = append(w.points, point{})
	t.Logf("%d instructions, and %d of Go's packages, in %s", w.own, w.other, strings.Join(w.functions(), ", "))
	return w
}

// functions returns the names of mp's functions in which the instructions of the walk were, inlined
// ones too.
func (w *walk) functions() []string {
	names := make(map[string]bool)
	for _, p := range w.points {
		frames := runtime.CallersFrames([]uintptr{p.pc + 1})
		for more := true; more; {
			var f runtime.Frame
			f, more = frames.Next()
			i := strings.LastIndexByte(f.Function, '/')
			if strings.Contains(f.Function, "/mp/") && !strings.HasSuffix(f.File, "_test.go") && !strings.HasPrefix(f.Function[i+1:], "step.") {
				names[f.Function[i+1:]] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// NeedPtrace skips the test where a process cannot step through its children by ptrace.
func NeedPtrace(t testing.TB) {
	t.Helper()
	why := ""
	switch runtime.GOARCH {
	case "amd64", "386":
	default:
		// An exclusive store fails after each stop: a loop of LDAXR and STLXR would not end.
		why = "single steps do not get through load-linked and store-conditional"
	}
	if !sys.HasFutexWaitv() {
		why = "without futex_waitv it can't be seen that a thread waits"
	}
	if why == "" {
		return
	}
	if os.Getenv(NeedEnv) != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}
