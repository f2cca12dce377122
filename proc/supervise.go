package proc

import (
	"fmt"

	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// supervise waits for the end of the child and says how it was.
func (p *Process) supervise(l *link) {
	l.AwaitExit()
	connected := meeting.forget(l)
	var said report
	if connected {
		// All that the child wrote is in the socket by now. Should another process
		// still hold its end, the shutdown is what ends converse.
		if sys.ShutdownRead(l.control) != nil {
			l.control.Close()
		}
		said = <-l.said
	}
	p.outcome = p.judge(l, connected, said)
	l.close()
	removeChild(p)
	close(p.done)
	p.end.WakeAll()
}

// judge reaps the child and says how it ended, given whether it has connected and what it said.
func (p *Process) judge(l *link, connected bool, said report) outcome {
	code, err := l.Reap()
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
		o.err = failed("Join", p.name, fmt.Errorf("its exit code is unknown: another part of this program has reaped it, or it ignores SIGCHLD: %w", err))
	case code != 0:
		o.returned = false
		if o.err = crashError(p.name, l.crash); o.err == nil {
			o.err = &ExitError{Process: p.name, Code: code}
		}
	case !connected:
		o.err = failed("Join", p.name, fmt.Errorf("it ended with exit code 0: %w", ErrNoInit))
	}
	return o
}
