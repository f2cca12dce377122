// Package connection connects programs that know nothing of each other but an address and a key. It
// carries messages of bytes over Unix sockets and TCP. Pipes of package ring are faster: Conn.Upgrade moves
// two programs of one machine to one.
//
//	l, err := connection.Listen("unix", "@service", &connection.Options{Key: key})
//	c, err := l.Accept(ctx)
//
//	// In the other program:
//	c, err := connection.Dial(ctx, "unix", "@service", &connection.Options{Key: key})
//	err = c.Send(ctx, []byte("hello"))
//
// Send and Receive carry typed values. SendFiles and ReceiveFiles carry open files between programs of one
// machine.
//
// The networks are those of package net: "unix" (an address that begins with @ is an abstract name,
// which is no file and vanishes with its listener), "tcp", "tcp4" and "tcp6". "unix" needs Linux:
// elsewhere Listen and Dial return errors.ErrUnsupported for it.
//
// Before the first message, each side proves to the other that it has the key, without sending it.
// Over a Unix socket, each side also checks the other's user. The key should be random: a program
// that takes a listener's address could otherwise guess it from the proofs of its clients. After
// the proofs, messages over TCP are neither encrypted nor signed, unless Options.TLS is set: a program that
// can read or change packets on their way can read and change messages. So use TCP without TLS only
// in networks that you trust, or inside a tunnel.
package connection
