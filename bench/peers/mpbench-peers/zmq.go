package main

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"

	"github.com/go-zeromq/zmq4"
	"github.com/go-zeromq/zmq4/transport"

	"github.com/seed-2e7ecdea/mp/bench"
)

// A socketPair is a transport of zmq4 that has its connection already.
type socketPair struct{ conn net.Conn }

func (t socketPair) Dial(context.Context, transport.Dialer, string) (net.Conn, error) {
	return t.conn, nil
}

func (t socketPair) Listen(context.Context, string) (net.Listener, error) {
	return &single{conn: t.conn, done: make(chan struct{})}, nil
}

func (t socketPair) Addr(ep string) (string, error) { return ep, nil }

// openZMQ opens a PAIR socket of ZeroMQ. The first process dials.
func openZMQ(conn net.Conn, first, answers bool) (bench.PeerPort, error) {
	if err := zmq4.RegisterTransport("pair", socketPair{conn}); err != nil {
		return nil, err
	}
	s := zmq4.NewPair(context.Background())
	if first {
		return &zmqPort{s, first && !answers}, s.Dial("pair://peer")
	}
	return &zmqPort{s, first && !answers}, s.Listen("pair://peer")
}

// A zmqPort is a socket. ZeroMQ tells no end of file: an empty message does.
type zmqPort struct {
	socket zmq4.Socket
	ends   bool // Close sends the empty message
}

func (p *zmqPort) Send(msg []byte) error { return p.socket.Send(zmq4.NewMsg(msg)) }

func (p *zmqPort) Receive() ([]byte, error) {
	msg, err := p.socket.Recv()
	if err == nil && len(msg.Bytes()) == 0 {
		err = io.EOF
	}
	return msg.Bytes(), err
}

func (p *zmqPort) Close() error {
	if p.ends {
		// zmq4 writes the length of a message and then its content, of 0 bytes here: the other process may have received the
		// message and closed the connection before the second write.
		if err := p.Send(nil); err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, syscall.EPIPE) {
			return err
		}
	}
	if err := p.socket.Close(); !errors.Is(err, net.ErrClosed) { // it closes the connection twice
		return err
	}
	return nil
}
