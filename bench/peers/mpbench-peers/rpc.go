package main

import (
	"io"
	"net"
	"net/rpc"

	"github.com/seed-2e7ecdea/mp/bench"
)

// openRPC opens net/rpc. Each message is a call, and waits for the answer: net/rpc does not keep the order of calls.
func openRPC(conn net.Conn, first, answers bool) (bench.PeerPort, error) {
	if first {
		return &rpcCaller{client: rpc.NewClient(conn), answers: answers}, nil
	}
	s := &Service{calls: make(chan []byte), replies: make(chan []byte), answers: answers}
	server := rpc.NewServer()
	if err := server.RegisterName("Peer", s); err != nil {
		return nil, err
	}
	go func() {
		server.ServeConn(conn) // returns at the end of the connection
		close(s.calls)
	}()
	return s, nil
}

type rpcCaller struct {
	client  *rpc.Client
	answers bool
	call    *rpc.Call
	reply   []byte
}

// Send calls. If there are answers, Receive waits for them; the last message has none.
func (c *rpcCaller) Send(msg []byte) error {
	c.call = c.client.Go("Peer.Message", msg, &c.reply, make(chan *rpc.Call, 1))
	if c.answers {
		return nil
	}
	_, err := c.Receive()
	return err
}

// Receive returns the answer.
func (c *rpcCaller) Receive() ([]byte, error) {
	call := <-c.call.Done
	return c.reply, call.Error
}

// Close ends the connection.
func (c *rpcCaller) Close() error { return c.client.Close() }

// A Service receives calls. net/rpc wants its name to be exported.
type Service struct {
	calls, replies chan []byte
	answers        bool
}

// Message is a call.
func (s *Service) Message(msg []byte, reply *[]byte) error {
	s.calls <- msg
	if s.answers {
		*reply = <-s.replies
	}
	return nil
}

// Receive returns the next call.
func (s *Service) Receive() ([]byte, error) {
	msg, ok := <-s.calls
	if !ok {
		return nil, io.EOF
	}
	return msg, nil
}

// Send answers the call.
func (s *Service) Send(msg []byte) error { s.replies <- msg; return nil }

// Close waits until the caller has ended the connection, and so has got the last answer.
func (s *Service) Close() error {
	close(s.replies)
	for range s.calls {
	}
	return nil
}
