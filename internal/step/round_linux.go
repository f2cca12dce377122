package step

import (
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/sys"
	"github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
)

// size is the size of a round's segment in bytes.
const size = 8 << 20

// A round is one child that performs an operation, and what is done to it.
type round[J any] struct {
	*scope
	row    *Row[J]
	cpu    sys.ThreadCPUs
	mode   Mode
	steps  bool // the thread comes to the point step by step
	scene  *Scene[J]
	cells  *testkit.Cells
	child  *proc.Call[string]
	thread *sys.Tracee // nil when it is not traced, or has ended
	sysmon *sys.Tracee // the thread of Go's runtime that asks goroutines to yield, stopped while thread is traced

	walk   *walk           // if not nil, told of each step
	visits map[uintptr]int // how often the thread was about to execute an instruction
	pc     uintptr         // where the thread was stopped or killed
	late   bool            // the operation has returned
	o      Outcome
	parts  parts
}

// The parts of a round.
const (
	partSet    = iota // objects are made
	partStart         // the child gets ready for the operation
	partAttach        // and is traced
	partPoint         // it comes to its point
	partOther         // Other
	partEnd           // it ends
	partCheck         // Check
	partClose         // objects are closed
	partCount
)

// parts is how long each part of a round took, and how long the tracer and the child's thread were
// ready to run meanwhile and had no CPU: a busy machine makes rounds slow, too.
type parts struct {
	begun  time.Time // when the part began that goes on
	took   [partCount]time.Duration
	before time.Duration // how long the tracer had no CPU before the round
	tracer time.Duration
	thread time.Duration // until it was killed, or the operation had returned
}

// begin begins a round.
func (p *parts) begin() { p.begun, p.before = time.Now(), withoutCPU(self()) }

// end ends it.
func (p *parts) end() {
	p.ended(partClose)
	p.tracer = withoutCPU(self()) - p.before
}

// self is the tracer's thread.
func self() testkit.ThreadDir { return testkit.Thread(os.Getpid(), sys.ThreadID()) }

// ended notes that a part has ended, and the next begins.
func (p *parts) ended(part int) {
	now := time.Now()
	p.took[part] += now.Sub(p.begun)
	p.begun = now
}

// add adds the times of another round.
func (p *parts) add(q *parts) {
	for i := range p.took {
		p.took[i] += q.took[i]
	}
	p.tracer += q.tracer
	p.thread += q.thread
}

func (p *parts) String() string {
	var b strings.Builder
	for i, name := range [...]string{"set", "start", "attach", "point", "other", "end", "check", "close"} {
		fmt.Fprintf(&b, "%s %.1f, ", name, float64(p.took[i])/float64(time.Millisecond))
	}
	fmt.Fprintf(&b, "in all %.1f and %.1f without a CPU", float64(p.tracer)/float64(time.Millisecond), float64(p.thread)/float64(time.Millisecond))
	return b.String() + " ms"
}

// withoutCPU reads how long a thread was ready to run and had no CPU, 0 if the kernel does not say so.
func withoutCPU(thread testkit.ThreadDir) time.Duration {
	var ran, waited time.Duration
	text, _ := os.ReadFile(string(thread) + "/schedstat")
	fmt.Sscan(string(text), &ran, &waited)
	return waited
}

// A scope is a testing.TB whose clean-up is done at the end of a round, not of the test.
type scope struct {
	testing.TB
	cleanups []func()
}

func (s *scope) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

func (s *scope) close() {
	for _, f := range slices.Backward(s.cleanups) {
		f()
	}
	s.cleanups = nil
}

// begin makes the objects of a round and starts its child, which gets ready for the operation.
func (tb *Table[J]) begin(t testing.TB, row *Row[J], mode Mode, steps bool) *round[J] {
	r := &round[J]{scope: &scope{TB: t}, row: row, cpu: tb.cpu, mode: mode, steps: steps, o: Outcome{Mode: mode}, visits: make(map[uintptr]int)}
	r.parts.begin()
	ok := false
	defer func() {
		if !ok {
			r.end()
		}
	}()
	wait := shm.WaitBlock
	if row.Spins {
		wait = shm.WaitAdaptive
	}
	seg := testkit.Closing(r, testkit.Must(shm.Anonymous(size, &shm.Options{Wait: wait}))(r))
	r.scene = &Scene[J]{TB: r, Seg: seg}
	row.Set(r.scene)
	r.parts.ended(partSet)
	// The child's threads run where this one does.
	testkit.WantNil(r, "bind to all CPUs", tb.cpus.Bind(0))
	defer tb.cpu.Bind(0)
	r.cells = testkit.NewCells(r, seg, cells)
	r.child = testkit.StartWith(r, tb.task, assignment[J]{row.Name, seg, r.scene.Job, r.cells},
		&proc.Options{Env: []string{"GODEBUG=asyncpreemptoff=1", "GOGC=off", "GOMAXPROCS=4"}})
	ok = true
	return r
}

// end ends the child, if it has not ended, and closes the objects.
func (r *round[J]) end() {
	if r.thread != nil || r.sysmon != nil {
		r.kill()
	}
	r.close()
}

// kill kills the child and waits for its end.
func (r *round[J]) kill() {
	if r.thread != nil {
		r.parts.thread = withoutCPU(r.dir())
	}
	testkit.WantNil(r, "Kill", r.child.Kill())
	for _, t := range []**sys.Tracee{&r.thread, &r.sysmon} {
		if *t != nil {
			testkit.WantNil(r, "end of a thread", (*t).AwaitEnd())
			*t = nil
		}
	}
	testkit.Killed(r, r.child)
}

// run lets the child perform the operation up to a point, does there what the mode says, and checks
// the row's promise. If the point is nil, it lets the child perform the whole operation.
func (r *round[J]) run(p *point) {
	r.cells.Await(r, cellThread, 1)
	if r.row.Ready != nil {
		r.row.Ready(r.scene)
	}
	r.parts.ended(partStart)
	tid := int(r.cells.At(cellThread).Load())
	testkit.Eventually(r, "the thread waits to begin", func() bool { return r.cells.At(cellReady).Load() != 0 })
	r.thread = r.trace(tid)
	testkit.WantNil(r, "bind to a CPU", r.cpu.Bind(tid))
	r.sysmon = r.trace(r.secondThread())
	for !r.look().harness { // it is in the functions that traced calls in its loop, which are inlined
		testkit.WantNil(r, "step", r.thread.Step())
		r.awaitStop(r.thread)
	}
	r.cells.At(cellBegin).Store(1)
	r.parts.ended(partAttach)

	if r.steps || !r.runTo(*p) {
		r.stepTo(p)
	}
	r.parts.ended(partPoint)
	if r.mode != Kill && p != nil {
		if p.asleep && !r.late {
			testkit.WantNil(r, "interrupt", r.thread.Interrupt())
			r.awaitStop(r.thread)
		}
		r.o.Between = true
		r.o.OtherValue, r.o.OtherErr = r.row.Other(r.scene)
	}
	r.parts.ended(partOther)
	if r.mode.dies() {
		r.kill()
	} else {
		r.goOn()
	}
	switch r.cells.At(cellReturned).Load() {
	case 1:
		r.o.Returned = true
	case 2:
		r.o.Returned = true
		if r.o.Err == "" {
			r.o.Err = "an error whose text died with the child"
		}
	}
	r.o.Value = r.cells.Wide(cellValue).Load()
	r.parts.ended(partEnd)
	r.row.Check(r.scene, r.o)
	r.parts.ended(partCheck)
}

// trace attaches to a thread of the child and stops it.
func (r *round[J]) trace(tid int) *sys.Tracee {
	t, err := sys.Trace(tid)
	if errors.Is(err, syscall.EPERM) && os.Getenv(NeedEnv) == "" {
		r.Skipf("%v: this process may not trace its children", err)
	}
	testkit.WantNil(r, "attach", err)
	r.awaitStop(t)
	return t
}

// secondThread returns the ID of the thread that the child's process started first, on which Go's
// runtime runs sysmon. If it ran, it would ask the goroutine, which takes long under the tracer, to
// yield again and again, and the scheduler's instructions would be most of the walk.
func (r *round[J]) secondThread() int {
	pid := r.child.PID()
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	testkit.WantNil(r, "threads", err)
	// A younger thread has a larger ID, until the kernel begins again with small ones.
	const none = math.MaxInt32
	larger, smaller := none, none
	for _, e := range threads {
		switch tid, err := strconv.Atoi(e.Name()); {
		case err != nil || tid == pid:
		case tid > pid:
			larger = min(larger, tid)
		default:
			smaller = min(smaller, tid)
		}
	}
	second := larger
	if larger == none {
		second = smaller
	}
	if second == int(r.cells.At(cellThread).Load()) {
		r.Fatalf("of the threads %v none is Go's sysmon", threads)
	}
	return second
}

// look notes where the stopped thread is, and looks at the instruction there.
func (r *round[J]) look() instruction {
	var err error
	r.pc, err = r.thread.PC()
	testkit.WantNil(r, "registers", err)
	next, err := look(r.thread, r.pc)
	testkit.WantNil(r, "instruction", err)
	return next
}

// stepTo lets the thread execute the operation up to the point, or to its end.
func (r *round[J]) stepTo(p *point) {
	for r.cells.At(cellReturned).Load() == 0 {
		next := r.look()
		r.visits[r.pc]++
		now := point{r.pc, r.visits[r.pc], false}
		if p != nil && now == *p {
			return
		}
		r.walked(now, next)
		if next.foreign && r.readClock() {
			continue
		}
		testkit.WantNil(r, "step", r.thread.Step())
		if !next.mayWait {
			r.awaitStop(r.thread)
			continue
		}
		now.asleep = true
		for first := true; !r.awaitStep(); first = false {
			if p != nil && now == *p {
				return
			}
			if first {
				r.walked(now, next)
			}
			r.wake()
		}
	}
	r.late = true
}

// readClock performs a call of the kernel's vDSO that reads the clock, which the thread has just begun, in
// its place. It returns false if it is no such call, or the machine can't do so. The kernel's code begins
// anew if the time is updated meanwhile: step by step, on a busy machine, it would not end.
func (r *round[J]) readClock() bool {
	back, err := r.thread.Caller()
	if err != nil {
		return false
	}
	f := runtime.FuncForPC(back)
	if f == nil || f.Name() != "runtime.nanotime1" && f.Name() != "time.now" {
		return false
	}
	testkit.WantNil(r, "read the clock", r.thread.ReadClock(back))
	return true
}

// runTo lets the thread execute the operation up to the point, or to its end, as stepTo does, but at
// full speed. It returns false, and the thread has not begun, if the registers that this takes are in
// use, or the machine has none.
func (r *round[J]) runTo(p point) bool {
	if p.pc != 0 && r.thread.Break(p.pc) != nil {
		return false
	}
	for n := 1; r.runOn(); n++ {
		pc, err := r.thread.PC()
		testkit.WantNil(r, "registers", err)
		if r.pc = pc; pc != p.pc {
			r.Fatalf("the thread stopped at %s instead of %s", where(pc), where(p.pc))
		}
		if n < p.nth {
			continue
		}
		testkit.WantNil(r, "no breakpoint", r.thread.Break(0))
		if p.asleep {
			testkit.WantNil(r, "step", r.thread.Step())
			if r.awaitStep() { // it did not have to sleep
				r.late = !r.runOn()
			}
		}
		return true
	}
	r.late = true
	return true
}

// runOn lets the thread run until it stops, and returns true, or until the operation has returned,
// and stops it then and returns false. It makes what the thread waits for happen.
func (r *round[J]) runOn() bool {
	testkit.WantNil(r, "continue", r.thread.Continue())
	for begin := time.Now(); ; {
		for range 10 {
			if r.stopped(r.thread, r.thread.Stopped) {
				return true
			}
			if r.cells.At(cellReturned).Load() != 0 {
				testkit.WantNil(r, "interrupt", r.thread.Interrupt())
				r.awaitStop(r.thread)
				testkit.WantNil(r, "no breakpoint", r.thread.Break(0))
				return false
			}
			sys.Yield()
		}
		if time.Since(begin) < 50*time.Microsecond {
			continue
		}
		if r.waits() {
			r.wake()
		}
		if time.Since(begin) > testkit.Patience {
			testkit.Stuck(r, fmt.Sprintf("the operation does not go on after %s\n%s", where(r.pc), r.threads()))
		}
	}
}

// walked tells the walk of a point.
func (r *round[J]) walked(p point, i instruction) {
	switch w := r.walk; {
	case w == nil:
	case !i.own:
		w.other++
	default:
		if !p.asleep {
			w.own++
		}
		if p.nth <= *repeats {
			w.points = append(w.points, p)
		}
	}
}

// goOn lets the thread finish the operation, and the child end.
func (r *round[J]) goOn() {
	testkit.WantNil(r, "detach", r.sysmon.Detach())
	r.sysmon = nil
	testkit.WantNil(r, "continue", r.thread.Continue())
	testkit.Eventually(r, "the operation returns", func() bool {
		if r.waits() {
			r.wake()
		}
		return r.cells.At(cellReturned).Load() != 0
	})
	r.parts.thread = withoutCPU(r.dir())
	testkit.WantNil(r, "interrupt", r.thread.Interrupt())
	r.awaitStop(r.thread)
	for !testkit.Must(r.thread.Halted())(r) {
		testkit.WantNil(r, "continue", r.thread.Continue())
		r.awaitStop(r.thread)
	}
	testkit.WantNil(r, "detach", r.thread.Detach())
	r.thread = nil
	r.cells.Set(cellLeave, 1)
	r.o.Err = testkit.Result(r, r.child)
}

// wake makes what the thread waits for happen.
func (r *round[J]) wake() {
	r.o.Slept = true
	if r.row.Asleep == nil {
		r.Fatalf("the thread sleeps at %s, and the row has no Asleep", where(r.pc))
	}
	r.row.Asleep(r.scene)
}

// awaitStep waits until the thread has executed a system call, and returns true, or until it sleeps
// in one of mp, and returns false.
func (r *round[J]) awaitStep() bool {
	for begin := time.Now(); ; {
		for range 100 {
			if r.stopped(r.thread, r.thread.Stopped) {
				return true
			}
		}
		if time.Since(begin) < 50*time.Microsecond {
			continue
		}
		if r.asleep() {
			return false
		}
		if time.Since(begin) > testkit.Patience {
			testkit.Stuck(r, fmt.Sprintf("the system call at %s does not end\n%s", where(r.pc), r.threads()))
		}
		time.Sleep(50 * time.Microsecond)
	}
}

// awaitStop waits until a thread has stopped, which it does soon.
func (r *round[J]) awaitStop(t *sys.Tracee) {
	for !r.stopped(t, t.AwaitStop) {
	}
}

// stopped reports whether a thread has stopped, by one of its methods. If it has stopped for a
// signal of Go's scheduler, or for the end of a process that it has started, it goes on.
func (r *round[J]) stopped(t *sys.Tracee, how func() (syscall.Signal, bool, error)) bool {
	sig, stopped, err := how()
	if err != nil {
		r.thread, r.sysmon = nil, nil // they have ended
		r.Fatalf("the child ended by itself, at %s: %v", where(r.pc), r.child.Join(testkit.Within(r)))
	}
	switch {
	case !stopped:
		return false
	case sig == syscall.SIGTRAP:
		return true
	case sig == syscall.SIGURG, sig == syscall.SIGCHLD:
		testkit.WantNil(r, "resume", t.Resume())
		return false
	}
	r.Fatalf("the child got signal %v at %s", sig, where(r.pc))
	return false
}

// threads says what each of the child's threads does: its state, and its system call if it is in one.
func (r *round[J]) threads() string {
	var b strings.Builder
	pid := r.child.PID()
	all, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	for _, e := range all {
		tid, _ := strconv.Atoi(e.Name())
		thread := testkit.Thread(pid, tid)
		call, _ := os.ReadFile(string(thread) + "/syscall")
		fmt.Fprintf(&b, "thread %d: %c, system call %s", tid, thread.State(), call)
	}
	return b.String()
}

// dir returns the directory of the child's thread.
func (r *round[J]) dir() testkit.ThreadDir {
	return testkit.Thread(r.child.PID(), int(r.cells.At(cellThread).Load()))
}

// asleep reports whether the thread sleeps in a wait of mp.
func (r *round[J]) asleep() bool {
	thread := r.dir()
	return thread.InWait() && thread.State() == 'S'
}

// waits reports whether the thread sleeps in the operation. Another goroutine, which the thread runs
// after the operation, may sleep, too.
func (r *round[J]) waits() bool {
	return r.asleep() && r.cells.At(cellReturned).Load() == 0
}
