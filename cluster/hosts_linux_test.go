package cluster_test

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
)

// ip runs the command ip, and ends the test if it fails.
func ip(t *testing.T, args string) {
	t.Helper()
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", args, err, out)
	}
}

// newHosts makes three network namespaces: the first is connected with each of the others.
func newHosts(t *testing.T) (hosts [3]string) {
	t.Helper()
	if _, err := exec.LookPath("ip"); err != nil || os.Geteuid() != 0 {
		t.Skip("the test makes network namespaces: it must be root, and have the command ip")
	}
	for i := range hosts {
		name := fmt.Sprintf("mp%d%c", os.Getpid(), 'a'+i)
		if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
			t.Skipf("network namespaces can't be made here: %s", out)
		}
		t.Cleanup(func() { ip(t, "netns del "+name) }) // with its links
		hosts[i] = name
		ip(t, "-n "+name+" link set lo up")
		if i == 0 {
			continue
		}
		ip(t, fmt.Sprintf("-n %s link add to%d type veth peer name host netns %s", hosts[0], i, name))
		ip(t, fmt.Sprintf("-n %s addr add 10.213.%d.1/24 dev to%d", hosts[0], i, i))
		ip(t, fmt.Sprintf("-n %s addr add 10.213.%d.2/24 dev host", name, i))
		ip(t, fmt.Sprintf("-n %s link set to%d up", hosts[0], i))
		ip(t, "-n "+name+" link set host up")
	}
	return hosts
}

// A hostLine is a line that a process of TestHosts has printed.
type hostLine struct{ from, text string }

// A hostProcess is a process in a network namespace.
type hostProcess struct {
	hostRole
	*exec.Cmd
	in   io.Closer     // its standard input
	read chan struct{} // closed when all of its output was read
}

// startHost starts a process in a namespace. What it prints goes to lines.
func startHost(t *testing.T, host string, r hostRole, lines chan<- hostLine) *hostProcess {
	t.Helper()
	p := &hostProcess{hostRole: r, read: make(chan struct{})}
	p.Cmd = exec.Command("ip", "netns", "exec", host, os.Args[0], "-test.run=^TestHostProcess$", fmt.Sprintf("-pool.calls=%d", *poolCalls))
	p.Env, p.Stderr = append(os.Environ(), hostEnv+"="+string(Must(json.Marshal(r))(t))), os.Stderr
	p.in = Must(p.StdinPipe())(t)
	out := Must(p.StdoutPipe())(t)
	WantNil(t, "Start", p.Start())
	over := t.Context().Done()
	go func() {
		defer close(p.read)
		for s := bufio.NewScanner(out); s.Scan(); {
			select {
			case lines <- hostLine{r.Name, s.Text()}:
			case <-over:
			}
		}
	}()
	t.Cleanup(func() { p.kill() })
	return p
}

// kill kills the process and waits for its end. It may be called more than once.
func (p *hostProcess) kill() {
	_ = p.Process.Kill() // fails if it has ended
	<-p.read
	_ = p.Wait() // it was killed
}

// killChild kills a child of the process: a worker.
func (p *hostProcess) killChild(t *testing.T) {
	t.Helper()
	for _, name := range Must(filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", p.Process.Pid)))(t) {
		var pid int
		text, _ := os.ReadFile(name) // fails if the thread has ended
		if _, err := fmt.Sscan(string(text), &pid); err == nil {
			WantNil(t, "kill", syscall.Kill(pid, syscall.SIGKILL))
			return
		}
	}
	t.Fatalf("host %s has no worker", p.Name)
}

// A hostsProgress is what the processes of TestHosts have printed so far.
type hostsProgress struct {
	results, submitted int            // of the caller
	ran                map[string]int // results by hosts
	put                int            // values whose Put has returned
	got                map[int]int    // values that were got, and how often
	took               map[string]int // values that were got, by hosts
	first              int            // value that was not got
	end                int            // calls of the caller that has ended, or 0
}

// note takes over a line, and reports whether it is that text.
func (p *hostsProgress) note(t *testing.T, l hostLine, text string) bool {
	t.Helper()
	words := strings.Fields(l.text)
	number := func(s string) (n int) {
		if _, err := fmt.Sscan(s, &n); err != nil {
			t.Fatalf("%s printed %q", l.from, l.text)
		}
		return n
	}
	switch {
	case len(words) >= 3 && words[0] == "results":
		p.results, p.submitted = number(words[1]), number(words[2])
		for _, s := range words[3:] {
			host, n, _ := strings.Cut(s, ":")
			p.ran[host] = number(n)
		}
	case len(words) == 2 && words[0] == "put":
		p.put = number(words[1]) + 1
	case len(words) == 2 && words[0] == "got":
		p.got[number(words[1])]++
		p.took[l.from]++
		for p.got[p.first] > 0 {
			p.first++
		}
	case len(words) == 2 && words[0] == "end":
		p.end = number(words[1])
	case strings.HasPrefix(l.text, "--- FAIL"):
		t.Fatalf("%s failed", l.from)
	}
	return l.text == text
}

// A recovery is how far things must get after an event.
type recovery struct {
	since time.Time
	goals []recoveryGoal
	text  []string // the times that the goals took
}

// A recoveryGoal is something that must be so again.
type recoveryGoal struct {
	name    string
	reached func() bool
}

// newRecovery begins to measure. The calls that have no result now must get one, and what is in the queue
// must be got.
func (p *hostsProgress) newRecovery() *recovery {
	submitted, put := p.submitted, p.put
	return &recovery{since: time.Now(), goals: []recoveryGoal{
		{"all calls had results", func() bool { return p.results >= submitted }},
		{"all values were got", func() bool { return p.first >= put }},
	}}
}

// wantHosts adds that these hosts must return results and take values.
func (p *hostsProgress) wantHosts(r *recovery, hosts []string) {
	for _, host := range hosts {
		ran, took := p.ran[host], p.took[host]
		r.goals = append(r.goals,
			recoveryGoal{host + " returned results", func() bool { return p.ran[host] > ran }},
			recoveryGoal{host + " took values", func() bool { return p.took[host] > took }})
	}
}

// look notes the goals that are reached, and reports whether all are.
func (r *recovery) look() bool {
	missing := r.goals[:0]
	for _, g := range r.goals {
		if g.reached() {
			r.text = append(r.text, fmt.Sprintf("%s after %v", g.name, time.Since(r.since).Round(time.Millisecond)))
		} else {
			missing = append(missing, g)
		}
	}
	r.goals = missing
	return len(missing) == 0
}

// A hostEvent happens while the hosts work.
type hostEvent struct {
	name string
	do   func() (hosts []string) // that must work again then
}

// TestHosts maps over two hosts, B and C, in network namespaces, and has them take values from a queue.
// Meanwhile a worker is killed, C is killed and replaced, B is cut off and comes back, and the server,
// which keeps its messages in files, is killed and started again. Each call returns its result once,
// and all values are got and marked done. The events happen again for each 25,000 calls of -pool.calls.
func TestHosts(t *testing.T) {
	if testing.Short() {
		t.Skip("the test takes ten seconds")
	}
	begin, dir, hosts := time.Now(), t.TempDir(), newHosts(t)
	lines := make(chan hostLine, 10_000)
	p := &hostsProgress{ran: make(map[string]int), got: make(map[int]int), took: make(map[string]int)}
	await := func(text string) {
		for !p.note(t, Await(t, lines, text), text) {
		}
	}
	startServer := func() *hostProcess {
		s := startHost(t, hosts[0], hostRole{Role: "server", Name: "server", Dir: dir}, lines)
		await("up")
		return s
	}
	startWorker := func(i int, name string) *hostProcess {
		url := fmt.Sprintf("nats://t@10.213.%d.1:4222", i)
		return startHost(t, hosts[i], hostRole{"worker", name, url, dir}, lines)
	}
	server := startServer()
	caller := startHost(t, hosts[0], hostRole{"caller", "caller", "nats://t@127.0.0.1:4222", dir}, lines)
	await("ready")
	b, c, replaced := startWorker(1, "B"), startWorker(2, "C"), 0
	events := []hostEvent{
		{"a worker of B was killed", func() []string { b.killChild(t); return []string{"B"} }},
		{"C was killed and started again", func() []string {
			c.kill()
			replaced++
			c = startWorker(2, fmt.Sprintf("C%d", replaced))
			return []string{c.Name}
		}},
		{"B was cut off", func() []string { ip(t, "-n "+hosts[0]+" link set to1 down"); return nil }},
		{"B was back", func() []string { ip(t, "-n "+hosts[0]+" link set to1 up"); return []string{"B"} }},
		{"the server was killed and started again", func() []string {
			server.kill()
			server = startServer()
			return []string{"B", c.Name}
		}},
	}
	all := len(events) * max(1, *poolCalls/25_000)
	quiet := *poolCalls / 2 / (all + 1) // results between a recovery and the next event
	at, happened := quiet, 0
	var event hostEvent
	var after *recovery
	for p.end == 0 || p.first < p.put {
		p.note(t, Await(t, lines, fmt.Sprintf("after %d results, %d values, and %q: value %d was not got", p.results, p.put, event.name, p.first)), "")
		switch {
		case after != nil:
			if !after.look() {
				continue
			}
			t.Logf("%s: %s", event.name, strings.Join(after.text, ", "))
			after, at = nil, p.results+quiet
			if happened == all {
				WantNil(t, "Close", caller.in.Close())
			}
		case happened < all && p.results >= at:
			event = events[happened%len(events)]
			happened++
			after = p.newRecovery()
			p.wantHosts(after, event.do())
		}
	}
	Want(t, "events", happened, all)
	runs := len(Must(os.ReadFile(b.recordOfRuns()))(t)) / binary.Size(uint64(0))
	values := 0
	for _, n := range p.got {
		values += n
	}
	t.Logf("%d calls, which ran to their end %d times, and %d values, which were got %d times, during %d events, took %v; calls by host: %v; values by host: %v",
		p.end, runs, p.put, values, all, time.Since(begin).Round(time.Millisecond), p.ran, p.took)
}
