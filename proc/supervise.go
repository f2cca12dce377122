package proc

import (
	"bufio"
	"fmt"
	"os"

	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// supervise waits for the end of the child and says how it was.
func (p *Process) supervise(l *link) {
	said := make(chan report, 1)
	go func() { said <- listen(p.name, l.control) }()
	code, err := l.Wait()
	if err != nil {
		code = 255
	}
	// All that the child wrote is in the socket by now. Should someone else
	// still hold its end, the shutdown is what ends listen.
	if sys.ShutdownRead(l.control) != nil {
		l.control.Close()
	}
	r := <-said

	o := outcome{code: code, result: r.result, returned: r.returned && code == 0}
	switch {
	case r.err != nil:
		o.err = r.err
	case err != nil:
		o.err = fmt.Errorf("proc: %s: exit code: %w", p.name, err)
	case code != 0:
		if o.err = crashError(p.name, l.crash); o.err == nil {
			o.err = &ExitError{Process: p.name, Code: code}
		}
	case !r.hello:
		o.err = fmt.Errorf("%w before the child ended: %s", ErrNoInit, p.name)
	}
	l.close()
	p.outcome = o
	removeChild(p)
	close(p.done)
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
