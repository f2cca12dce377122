package bench

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/seed-2e7ecdea/mp/internal/sys"
	"github.com/seed-2e7ecdea/mp/shm"
)

// createOSPipe makes a pipe of the kernel from the standard output of the first process to
// the standard input of the second. For latency it makes one back, too.
func createOSPipe(_ *shm.Segment, s Scenario) (*link, error) {
	return createFiles(s, os.Pipe)
}

// createFiles makes the link of a transport that has one direction. open makes it, and returns the ends to read from and
// to write to, which may be the same file.
func createFiles(s Scenario, open func() (r, w *os.File, err error)) (*link, error) {
	first, second := twoRoles(s)
	l := &link{in: map[role]*os.File{}, out: map[role]*os.File{}}
	for _, way := range [][2]role{{first, second}, {second, first}} {
		r, w, err := open()
		if err != nil {
			return nil, errors.Join(err, l.release())
		}
		l.out[way[0]], l.in[way[1]] = w, r
		l.ends = append(l.ends, r)
		if w != r {
			l.ends = append(l.ends, w)
		}
		if s.Measure != Latency {
			break
		}
	}
	return l, nil
}

func createUnixSocket(_ *shm.Segment, s Scenario) (*link, error) {
	return createPair(s, sys.ControlPair)
}

func createPackets(_ *shm.Segment, s Scenario) (*link, error) { return createPair(s, sys.PacketPair) }

func createTCP(_ *shm.Segment, s Scenario) (*link, error) { return createPair(s, tcpPair) }

// tcpPair makes a connection over the loopback interface and returns both of its ends. They send each message at once
// (TCP_NODELAY).
func tcpPair() (a, b *os.File, err error) {
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	dialed, err := net.DialTCP("tcp4", nil, l.Addr().(*net.TCPAddr))
	if err != nil {
		return nil, nil, err
	}
	defer dialed.Close()
	for {
		accepted, err := l.AcceptTCP()
		if err != nil {
			return nil, nil, err
		}
		if accepted.RemoteAddr().String() != dialed.LocalAddr().String() { // another program's
			accepted.Close()
			continue
		}
		defer accepted.Close()
		if a, err = dialed.File(); err != nil {
			return nil, nil, err
		}
		if b, err = accepted.File(); err != nil {
			return nil, nil, errors.Join(err, a.Close())
		}
		return a, b, nil
	}
}

// createPair makes the link of a transport that is a pair of connected sockets. One is the standard output of the first
// process, the other the standard input of the second. For latency each is both.
func createPair(s Scenario, open func() (a, b *os.File, err error)) (*link, error) {
	a, b, err := open()
	if err != nil {
		return nil, err
	}
	first, second := twoRoles(s)
	l := &link{
		in: map[role]*os.File{second: b}, out: map[role]*os.File{first: a},
		ends: []io.Closer{a, b},
	}
	if s.Measure == Latency {
		l.in[first], l.out[second] = a, b
	}
	return l, nil
}

// twoRoles returns the roles of the two processes that share a kernel's transport.
func twoRoles(s Scenario) (first, second role) {
	c := s.roles()
	return c[0], c[len(c)-1]
}

// A filesPort writes messages to standard output and reads them from standard
// input.
type filesPort struct {
	size int    // of a message
	buf  []byte // as large as a batch
}

func openFiles(_ *shm.Segment, s Scenario, r role) (port, error) {
	// The parent made these files, and may have made them non-blocking.
	var err error
	if r != producer {
		err = syscall.SetNonblock(syscall.Stdin, false)
	}
	if r != consumer && err == nil {
		err = syscall.SetNonblock(syscall.Stdout, false)
	}
	return &filesPort{size: s.Size, buf: make([]byte, s.Size*max(s.Batch, 1))}, os.NewSyscallError("fcntl", err)
}

func (p *filesPort) send(w number, n uint64) error {
	for n > 0 {
		k := min(n, uint64(len(p.buf)/p.size))
		batch := p.buf[:int(k)*p.size]
		for at := 0; at < len(batch); at += p.size {
			stamp(batch[at:at+p.size], w)
			w += next
		}
		if err := writeAll(batch); err != nil {
			return err
		}
		n -= k
	}
	return nil
}

// writeAll writes b to standard output.
func writeAll(b []byte) error {
	for len(b) > 0 {
		k, err := syscall.Write(syscall.Stdout, b)
		switch {
		case err == nil:
			b = b[k:]
		case err != syscall.EINTR:
			return os.NewSyscallError("write", err)
		}
	}
	return nil
}

func (p *filesPort) receive(t *tally, n uint64) (uint64, error) {
	for i := uint64(0); i < n; {
		batch, err := p.readMessages(min(n-i, uint64(len(p.buf)/p.size)))
		if err != nil {
			return i, err
		}
		for at := 0; at < len(batch); at += p.size {
			w, intact := stamped(batch[at : at+p.size])
			if !intact {
				return i, damaged(p.size, p.size, w)
			}
			if err := t.enter(w); err != nil {
				return i, err
			}
			i++
		}
	}
	return n, nil
}

// readMessages reads as many messages as there are, at least one and at most n, from standard input. It returns io.EOF at
// the end.
func (p *filesPort) readMessages(n uint64) ([]byte, error) {
	for at := 0; ; {
		k, err := syscall.Read(syscall.Stdin, p.buf[at:int(n)*p.size])
		switch {
		case err == syscall.EINTR:
			continue
		case err != nil:
			return nil, os.NewSyscallError("read", err)
		case k == 0 && at == 0:
			return nil, io.EOF
		case k == 0:
			return nil, damaged(at, p.size, 0)
		}
		if at += k; at%p.size == 0 {
			return p.buf[:at], nil
		}
	}
}

// close does nothing: standard input and output are closed when the process ends.
func (p *filesPort) close() error { return nil }
