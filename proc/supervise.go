package proc

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// supervise talks to the child, waits for its end and says how it was.
func (p *Process) supervise(l *link, r request) {
	heard := make(chan report, 1)
	go func() { heard <- p.talk(l, r) }()
	l.AwaitExit()
	if forget(l) {
		_ = l.granted.cancel() // the party is dead, whatever the kernel says to closing its file
		close(l.reported)
	} else {
		// All that the child wrote is in the socket by now. Should another process still hold its end,
		// the shutdown is what ends listen.
		<-l.reported
		if sys.ShutdownRead(l.control) != nil {
			l.control.Close()
		}
	}
	said := <-heard
	p.outcome = p.judge(l, said)
	if l.control != nil {
		l.control.Close()
	}
	l.crash.Close()
	removeChild(p)
	close(p.done)
}

// talk waits until the child has reported, tells it what to do, and returns what it says.
func (p *Process) talk(l *link, r request) report {
	<-l.reported
	if l.control == nil {
		return report{} // it has ended
	}
	if err := l.handOver(); err != nil && !errors.Is(err, syscall.EPIPE) {
		_ = l.Signal(syscall.SIGKILL) // it waits for the files
		return report{err: fmt.Errorf("proc: %s: files for the child: %w", p.name, err)}
	}
	go l.send(r)
	return listen(p.name, l.control)
}

// judge reaps the child and says how it ended, given what it said.
func (p *Process) judge(l *link, said report) outcome {
	code, err := l.Wait()
	o := outcome{code: code, result: said.result, returned: said.returned}
	if err != nil {
		o.code = 255
	}
	switch {
	case said.err != nil:
		o.err, o.returned = said.err, false
	case err != nil && said.returned:
		// Another part of the program has reaped the child. What the task returned had arrived.
	case err != nil:
		o.err = fmt.Errorf("proc: %s: its exit code is unknown, since another part of this program has reaped it: %w", p.name, err)
	case code != 0:
		o.returned = false
		if o.err = crashError(p.name, l.crash); o.err == nil {
			o.err = &ExitError{Process: p.name, Code: code}
		}
	case !said.hello:
		o.err = fmt.Errorf("%w before the child ended: %s", ErrNoInit, p.name)
	}
	return o
}

// A report is what a child said before it ended.
type report struct {
	hello    bool // it was in Init
	err      error
	result   []byte
	returned bool // there is a result
}

// listen reads what the child says until the end of the socket.
func listen(name string, control *os.File) (r report) {
	in := bufio.NewReader(control)
	for {
		kind, payload, err := readFrame(in)
		if err != nil {
			return r // the end, or a frame that a killed child left unfinished
		}
		switch kind {
		case frameHello:
			r.hello = true
		case frameResult:
			r.result, r.returned = payload, true
		case frameError:
			r.err = decodeError(name, payload)
		case framePanic:
			r.err = decodePanic(name, payload)
		}
	}
}
