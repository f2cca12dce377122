package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// A finding is what doctor says about one thing.
type finding struct {
	What  string `json:"what"`
	Found string `json:"found"`
	OK    bool   `json:"ok"`              // mp, or a measurement, has what it wants
	Means string `json:"means,omitempty"` // what follows from that
}

// doctorFlags are the flags of mpbench doctor.
type doctorFlags struct{ json bool }

func (o *doctorFlags) add(f *flag.FlagSet) { f.BoolVar(&o.json, "json", false, "print JSON") }

// runDoctor is mpbench doctor. It returns the exit status: 0 also if something is missing.
func runDoctor(_ context.Context, args []string, stdout, stderr *os.File) int {
	var o doctorFlags
	flags := newFlags("doctor", stderr, o.add)
	if code, done := parseFlags(flags, args, 0, 0); done {
		return code
	}
	list := examine(os.DirFS("/"), probe())
	var err error
	if o.json {
		e := json.NewEncoder(stdout)
		e.SetIndent("", "  ")
		err = e.Encode(list)
	} else {
		_, err = stdout.WriteString(findingsText(list))
	}
	if err != nil {
		fmt.Fprintln(stderr, "mpbench doctor:", err)
		return exitFailed
	}
	return 0
}

// probes are what doctor tries out by system calls.
type probes struct {
	futexWaitv, barrier, memfd, pidfd, ptrace, messageQueue error
	cpus                                                    []int
	quota                                                   float64 // CPUs that the control group may use, +Inf: all
	shmSize, shmFree                                        uint64
	shmErr                                                  error
	python                                                  string // the version, "" if there is none
}

// probe tries everything out.
func probe() (p probes) {
	if !sys.HasFutexWaitv() {
		p.futexWaitv = errMissing
	}
	if !sys.RegisterBarrier() {
		p.barrier = errMissing
	}
	f, err := sys.Memfd("mpbench doctor", 4096)
	if p.memfd = err; err == nil {
		f.Close()
	}
	if f, err = sys.PidfdOpen(os.Getpid()); err == nil {
		f.Close()
	}
	p.pidfd = err
	if f, err = sys.MessageQueue(1, 8); err == nil {
		f.Close()
	}
	p.messageQueue = err
	p.cpus, _ = sys.CPUs()
	p.quota = quotaOf(os.DirFS("/"))
	p.ptrace = sys.TraceAllowed()
	p.shmSize, p.shmFree, p.shmErr = sys.FileSystem("/dev/shm")
	if path, err := exec.LookPath("python3"); err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		out, err := exec.CommandContext(ctx, path, "--version").Output()
		if p.python = strings.TrimSpace(string(out)); err != nil {
			p.python = ""
		}
	}
	return p
}

var errMissing = errors.New("the kernel does not have it, or a sandbox forbids it")

// A doctor looks at the files of a system and writes its findings down.
type doctor struct {
	root     fs.FS
	findings []finding
}

// examine returns what doctor says, of the files below root and of what was tried.
func examine(root fs.FS, p probes) []finding {
	d := &doctor{root: root}
	d.kernel()
	d.proc()
	d.tried("futex_waitv", p.futexWaitv, "deaths and cancellations are seen 1 to 32 ms later, by looking again")
	d.tried("membarrier", p.barrier, "a lock that only one goroutine uses costs a full fence on each call")
	d.tried("memfd", p.memfd, "anonymous segments can't be made: name them, and mount /dev/shm")
	d.tried("pidfd", p.pidfd, "the death of a process is found within a second instead of a millisecond")
	d.shm(p)
	d.hugePages()
	d.cpus(p)
	d.governor()
	d.sandbox()
	d.tracing(p)
	d.tried("POSIX message queues", p.messageQueue, "mpbench leaves the transport mqueue out")
	d.add("python3", p.python != "", orElse(p.python, "not found"), "mpbench leaves the transports of Python out")
	return d.findings
}

// add adds a finding. means is kept if it is not ok.
func (d *doctor) add(what string, ok bool, found, means string) {
	if ok {
		means = ""
	}
	d.findings = append(d.findings, finding{what, found, ok, means})
}

func (d *doctor) tried(what string, err error, means string) {
	if err != nil {
		d.add(what, false, "no: "+err.Error(), means)
		return
	}
	d.add(what, true, "yes", "")
}

// file returns the trimmed content of a file, "" if it can't be read.
func (d *doctor) file(path string) string { return textOf(d.root, path) }

func (d *doctor) proc() {
	if d.file("proc/self/status") == "" {
		d.add("/proc", false, "not mounted", "mp can't start processes, pass anonymous segments on or name segments: mount -t proc proc /proc")
		return
	}
	d.add("/proc", true, "mounted", "")
}

func (d *doctor) kernel() {
	release := d.file("proc/sys/kernel/osrelease")
	if release == "" && runtime.GOOS == "linux" {
		d.add("kernel", false, "Linux, of a version that is not told", "/proc would tell it")
		return
	}
	if release == "" {
		d.add("kernel", false, runtime.GOOS, "mp needs Linux: elsewhere its calls return errors.ErrUnsupported")
		return
	}
	major, rest, _ := strings.Cut(release, ".")
	minor, _, _ := strings.Cut(rest, ".")
	a, _ := strconv.Atoi(major)
	b, _ := strconv.Atoi(strings.TrimRight(minor, "-abcdefghijklmnopqrstuvwxyz+"))
	switch {
	case a > 5 || a == 5 && b >= 16:
		d.add("kernel", true, "Linux "+release, "")
	case a == 5 && b >= 10:
		d.add("kernel", false, "Linux "+release, "before 5.16 there is no futex_waitv: deaths and cancellations are seen 1 to 32 ms later")
	default:
		d.add("kernel", false, "Linux "+release, "before 5.10 the death of a process is found within a second; mp is not tested there")
	}
}

// smallShm is the size of /dev/shm below which a program may find it full.
const smallShm = 256 << 20

func (d *doctor) shm(p probes) {
	switch {
	case p.shmErr != nil:
		d.add("/dev/shm", false, "no: "+p.shmErr.Error(), "named segments and blocks can't be made; anonymous ones can")
	case p.shmSize < smallShm:
		d.add("/dev/shm", false, fmt.Sprintf("%s, %s free", bytesOf(p.shmSize), bytesOf(p.shmFree)),
			"named segments get ErrNoSpace when it is full: mount it larger (docker run --shm-size 1g)")
	default:
		d.add("/dev/shm", true, fmt.Sprintf("%s, %s free", bytesOf(p.shmSize), bytesOf(p.shmFree)), "")
	}
}

func (d *doctor) hugePages() {
	const path = "sys/kernel/mm/transparent_hugepage/shmem_enabled"
	_, rest, _ := strings.Cut(d.file(path), "[")
	mode, _, _ := strings.Cut(rest, "]")
	ok := mode == "always" || mode == "within_size" || mode == "force"
	d.add("huge pages in shared memory", ok, orElse(mode, "unknown"),
		"large segments use pages of 4 KiB: echo within_size > /"+path+" makes random access to them faster")
}

func (d *doctor) cpus(p probes) {
	found := fmt.Sprintf("%d, without a quota", len(p.cpus))
	if !math.IsInf(p.quota, 1) {
		found = fmt.Sprintf("%d, with a quota of %.3g in the control group", len(p.cpus), p.quota)
	}
	switch {
	case len(p.cpus) < 2:
		d.add("CPUs", false, found, "processes take turns on one CPU: nobody spins, and each message costs a context switch")
	case p.quota < float64(len(p.cpus)):
		d.add("CPUs", false, found, "a quota stops all processes of the group for the rest of each period: latencies of tens of ms are its doing")
	default:
		d.add("CPUs", true, found, "")
	}
	siblings := d.file("sys/devices/system/cpu/cpu0/topology/thread_siblings_list")
	nodes, _ := fs.Glob(d.root, "sys/devices/system/node/node[0-9]*")
	d.add("topology", true, fmt.Sprintf("threads of CPU 0's core: %s; memory nodes: %d", orElse(siblings, "unknown"), max(len(nodes), 1)), "")
	info := d.file("proc/cpuinfo")
	virtual := strings.Contains(" "+info+" ", " hypervisor ")
	answer := yesOrNo(virtual)
	if info == "" {
		answer = "unknown"
	}
	d.add("virtual machine", answer == "no", answer, "the host may move CPUs from core to core: compare rounds with the same round trip of a cache line")
}

func (d *doctor) governor() {
	const path = "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
	mode := d.file(path)
	d.add("governor", mode == "" || mode == "performance", orElse(mode, "none (fixed, or the host's)"),
		"the frequency follows the load, so that short runs look slow: cpupower frequency-set -g performance")
}

// status returns a line of /proc/self/status.
func (d *doctor) status(name string) string {
	for line := range strings.Lines(d.file("proc/self/status")) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func (d *doctor) sandbox() {
	mode := map[string]string{"0": "none", "1": "strict", "2": "a filter"}[d.status("Seccomp")]
	d.add("seccomp", mode == "none", orElse(mode, "unknown"),
		"a filter may forbid what mp asks for: the lines above say what works nevertheless")
}

func (d *doctor) tracing(p probes) {
	const means = "mp does not need it; its tests that kill a process at every instruction are skipped"
	if p.ptrace != nil {
		d.tried("ptrace", p.ptrace, means)
		return
	}
	scope := d.file("proc/sys/kernel/yama/ptrace_scope")
	texts := map[string]string{"": "everything (no yama)", "0": "everything", "1": "own children", "2": "with CAP_SYS_PTRACE", "3": "nothing"}
	d.add("ptrace", scope != "2" && scope != "3", orElse(texts[scope], scope), means)
}

// findingsText returns the findings as a table, in which what follows stands on a line of its own.
func findingsText(list []finding) string {
	var text strings.Builder
	lacks := 0
	for _, f := range list {
		mark := "ok"
		if !f.OK {
			mark = "--"
			lacks++
		}
		fmt.Fprintf(&text, "%-3s %-28s %s\n", mark, f.What, f.Found)
		if f.Means != "" {
			fmt.Fprintf(&text, "    %-28s -> %s\n", "", f.Means)
		}
	}
	fmt.Fprintf(&text, "\n%s as mp and mpbench want it, %d not\n", plural(len(list)-lacks, "thing"), lacks)
	return text.String()
}

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

func yesOrNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
