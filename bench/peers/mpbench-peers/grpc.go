package main

import (
	"context"
	"errors"
	"io"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/seed-2e7ecdea/mp/bench"
)

const grpcMethod = "Messages"

// streams describes a service with one method, a stream of google.protobuf.BytesValue in both directions.
func streams(handler grpc.StreamHandler) *grpc.ServiceDesc {
	return &grpc.ServiceDesc{ServiceName: "Peer", HandlerType: (*any)(nil), Streams: []grpc.StreamDesc{
		{StreamName: grpcMethod, Handler: handler, ClientStreams: true, ServerStreams: true},
	}}
}

// openGRPC opens a stream of gRPC. The first process is the client.
func openGRPC(conn net.Conn, first, _ bool) (bench.PeerPort, error) {
	if first {
		return dialGRPC(conn)
	}
	p := &grpcPort{accepted: make(chan grpc.ServerStream), closed: make(chan struct{})}
	server := grpc.NewServer()
	server.RegisterService(streams(func(_ any, s grpc.ServerStream) error {
		p.accepted <- s
		<-p.closed
		return nil
	}), nil)
	go server.Serve(&single{conn: conn, done: make(chan struct{})})
	p.end = func() error {
		close(p.closed)
		server.GracefulStop()
		return nil
	}
	return p, nil
}

func dialGRPC(conn net.Conn) (bench.PeerPort, error) {
	client, err := grpc.NewClient("passthrough:peer", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return conn, nil }))
	if err != nil {
		return nil, err
	}
	stream, err := client.NewStream(context.Background(), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/Peer/"+grpcMethod)
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return &grpcPort{stream: stream, end: func() error {
		err := stream.CloseSend()
		if err == nil {
			if err = stream.RecvMsg(new(wrapperspb.BytesValue)); err == io.EOF { // the server has received all
				err = nil
			}
		}
		return errors.Join(err, client.Close())
	}}, nil
}

// A grpcPort is an end of a stream.
type grpcPort struct {
	stream interface { // of the client; of the server after the first Receive
		SendMsg(any) error
		RecvMsg(any) error
	}
	accepted chan grpc.ServerStream
	closed   chan struct{}
	end      func() error
}

func (p *grpcPort) Send(msg []byte) error { return p.stream.SendMsg(wrapperspb.Bytes(msg)) }

func (p *grpcPort) Receive() ([]byte, error) {
	if p.stream == nil {
		p.stream = <-p.accepted
	}
	var msg wrapperspb.BytesValue
	err := p.stream.RecvMsg(&msg)
	return msg.Value, err
}

func (p *grpcPort) Close() error { return p.end() }

// A single is a listener with one connection.
type single struct {
	conn net.Conn
	done chan struct{}
}

func (l *single) Accept() (net.Conn, error) {
	if c := l.conn; c != nil {
		l.conn = nil
		return c, nil
	}
	<-l.done
	return nil, net.ErrClosed
}

func (l *single) Close() error   { close(l.done); return nil }
func (l *single) Addr() net.Addr { return &net.UnixAddr{Name: "peer", Net: "unix"} }
