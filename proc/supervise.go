package proc

import (
	"fmt"
	"log/slog"
	"syscall"
)

// supervise waits for the end of the child and says how it was.
func (p *Process) supervise(l *link) {
	p.countKills()
	said, connected := l.awaitEnd()
	o := p.judge(l, connected, said)
	if err := l.standard.finish(); err != nil && o.err == nil {
		o.err = failed("Join", p.name, err)
	}
	l.close()
	p.conclude(o)
}

// conclude ends p with that outcome.
func (p *Process) conclude(o outcome) {
	p.mu.Lock()
	if !o.returned || o.err != nil {
		p.lease.close()
		p.kept, p.lease = nil, nil
	}
	p.mu.Unlock()
	p.outcome = o
	removeChild(p)
	if o.err != nil {
		p.log(slog.LevelWarn, "process ended", "code", o.code, "error", o.err)
	} else {
		p.log(slog.LevelInfo, "process ended", "code", o.code)
	}
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
	failure := said.error(p.name)
	switch {
	case failure != nil:
		o.err, o.returned = failure, false
	case err != nil && said.returned:
		// Another part of the program has reaped the child. What the task returned had arrived.
	case err != nil:
		o.err = failed("Join", p.name, fmt.Errorf("its exit code is unknown: another part of this program has reaped it, or it ignores SIGCHLD: %w", err))
	case code != 0:
		o.returned = false
		if o.err = crashError(p.name, l.crash, p.limited); o.err == nil {
			o.err = &ExitError{Process: p.name, Code: code, Memory: code == -int(syscall.SIGKILL) && p.lackedMemory()}
		}
	case !connected:
		o.err = failed("Join", p.name, fmt.Errorf("it ended with exit code 0: %w", ErrNoInit))
	}
	return o
}

// A report is what a child said before it ended.
type report struct {
	kind     byte   // frameError or framePanic
	failure  []byte // of that kind
	err      error  // why it was not heard
	result   []byte
	returned bool // there is a result
}

// error returns the failure of the process with that name, or nil.
func (r *report) error(process string) error {
	switch {
	case r.err != nil:
		return failed("Join", process, r.err)
	case r.kind == frameError:
		return decodeError(process, r.failure)
	case r.kind == framePanic:
		return decodePanic(process, r.failure)
	}
	return nil
}
