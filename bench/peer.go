package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A Peer is a library that carries messages between processes and is measured beside mp's transports. Peers are linked
// into a program of their own, PeersProgram, so that mp does not require their modules.
type Peer struct {
	Name string // of the transport: one of those that this package runs by PeersProgram
	// Open makes a port of one process. conn is its end of a pair of connected stream sockets of the unix domain, which the
	// port owns. first tells whether the process sends the first message. answers tells whether messages go both ways.
	// Otherwise the first process only sends, and the second only receives.
	Open func(conn net.Conn, first, answers bool) (PeerPort, error)
}

// A PeerPort sends and receives messages. It is used by one goroutine.
type PeerPort interface {
	Send(msg []byte) error
	// Receive returns the next message, which is valid until the next call. It returns io.EOF when the other process has
	// closed its port and all its messages have been received.
	Receive() ([]byte, error)
	// Close returns when the messages that this process has sent can no longer be lost.
	Close() error
}

// PeersProgram is the name of the program, searched in PATH, that runs the transports of peers:
// go install github.com/seed-2e7ecdea/mp/bench/peers/mpbench-peers
const PeersProgram = "mpbench-peers"

// RegisterPeer makes this program measure a transport itself that others run by PeersProgram. It must be called before
// Run, at the start of main, in all processes. It panics if there is no such transport.
func RegisterPeer(p Peer) {
	t := findTransport(p.Name)
	if t == nil || !t.peer {
		panic("bench: RegisterPeer: no peer has the name " + p.Name)
	}
	t.create = createUnixSocket
	t.open = func(_ *shm.Segment, s Scenario, r role) (port, error) { return openPeer(p, s, r) }
}

// RunScenario is the whole work of PeersProgram: it runs the scenario whose JSON it gets, and returns the result as JSON.
func RunScenario(ctx context.Context, text string) ([]byte, error) {
	var s Scenario
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return nil, fmt.Errorf("bench: a scenario in JSON: %w", err)
	}
	r, err := Run(ctx, s)
	if err != nil {
		return nil, err
	}
	return json.Marshal(r)
}

// runPeer runs a scenario by PeersProgram.
func runPeer(ctx context.Context, s Scenario) (r Result, err error) {
	text, err := json.Marshal(s)
	if err != nil {
		return r, err
	}
	var diagnosis strings.Builder
	c := proc.Command(PeersProgram, string(text))
	c.Stderr = &diagnosis
	out, err := c.Output(ctx)
	if err != nil {
		if text := strings.TrimSpace(diagnosis.String()); text != "" {
			err = fmt.Errorf("%w: %s", err, text)
		}
		return r, err
	}
	if err := json.Unmarshal(out, &r); err != nil {
		return r, fmt.Errorf("%s printed %.100q: %w", PeersProgram, out, err)
	}
	return r, nil
}

// A peerPort checks the messages of a PeerPort.
type peerPort struct {
	PeerPort
	buf []byte // as large as a message
}

func openPeer(p Peer, s Scenario, r role) (port, error) {
	f := os.Stdin
	if r.first() {
		f = os.Stdout
	}
	conn, err := net.FileConn(f) // a descriptor of its own: the standard one stays open
	if err != nil {
		return nil, err
	}
	ported, err := p.Open(shutting{conn.(*net.UnixConn)}, r.first(), s.Measure == Latency)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &peerPort{ported, make([]byte, s.Size)}, nil
}

// shutting is a connection that Close shuts down, although other descriptors refer to it.
type shutting struct{ *net.UnixConn }

func (c shutting) Close() error {
	_ = c.CloseWrite() // fails if the other end has gone
	return c.UnixConn.Close()
}

func (p *peerPort) send(w number, n uint64) error {
	for range n {
		stamp(p.buf, w)
		if err := p.Send(p.buf); err != nil {
			return err
		}
		w += next
	}
	return nil
}

func (p *peerPort) receive(t *tally, n uint64) (uint64, error) {
	for i := range n {
		msg, err := p.Receive()
		if err != nil {
			return i, err
		}
		if err := enterAnswer(t, msg, len(p.buf)); err != nil {
			return i, err
		}
	}
	return n, nil
}

func (p *peerPort) close() error { return p.Close() }
