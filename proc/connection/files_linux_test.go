package connection_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/proc/connection"
	"github.com/seed-2e7ecdea/mp/ring"
)

// pipe returns both ends of a pipe of the kernel. When all its write ends are closed, reading ends.
func pipe(t testing.TB) (r, w *os.File) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// wantEnd checks that no write end of a pipe is open any more.
func wantEnd(t *testing.T, what string, r *os.File) {
	t.Helper()
	n, err := testkit.Await(t, testkit.Async(func() read {
		n, err := r.Read(make([]byte, 1))
		return read{n, err}
	}), what).values()
	if n != 0 || err != io.EOF {
		t.Errorf("%s: read %d, %v, want the end", what, n, err)
	}
}

type read struct {
	n   int
	err error
}

func (r read) values() (int, error) { return r.n, r.err }

var passing = testkit.Task("connection passing files", func(ctx context.Context, address string) (proc.None, error) {
	c, err := connection.Dial(ctx, "unix", address, options())
	if err != nil {
		return proc.None{}, err
	}
	defer c.Close()
	msg, files, err := c.ReceiveFiles(ctx)
	if err != nil {
		return proc.None{}, err
	}
	if string(msg) != "write" || len(files) != 1 {
		return proc.None{}, errors.New("received another message")
	}
	_, err = files[0].WriteString("from the other process")
	return proc.None{}, errors.Join(err, files[0].Close())
})

// TestFiles_Process passes the write end of a pipe to another process, which writes to it.
func TestFiles_Process(t *testing.T) {
	l, address := listen(t, options())
	p := testkit.Start(t, passing, address)
	c := testkit.Closing(t, testkit.Must(l.Accept(testkit.Within(t)))(t))
	r, w := pipe(t)
	testkit.WantNil(t, "SendFiles", c.SendFiles(testkit.Within(t), []byte("write"), w))
	testkit.WantNil(t, "Close", w.Close())
	testkit.Result(t, p)
	testkit.Want(t, "text", string(testkit.Must(io.ReadAll(r))(t)), "from the other process")
}

// TestFiles_Mixed mixes messages with and without files, of all sizes. Each file must arrive with its message.
func TestFiles_Mixed(t *testing.T) {
	a, b := connect(t, "unix", abstract())
	sizes := []int{0, 1, 5000, 64 << 10, 64<<10 + 1, 1 << 20}
	counts := []int{0, 1, 3, connection.MaxFiles, 0, 2}
	file := testkit.Must(os.Open("/dev/null"))(t)
	t.Cleanup(func() { file.Close() })
	sent := testkit.Async(func() error {
		for i := range 60 {
			var files []*os.File
			for range counts[i%len(counts)] {
				files = append(files, file)
			}
			if err := a.SendFiles(testkit.Within(t), make([]byte, sizes[i/6%len(sizes)]), files...); err != nil {
				return err
			}
		}
		return nil
	})
	for i := range 60 {
		msg, files, err := b.ReceiveFiles(testkit.Within(t))
		testkit.WantNil(t, "ReceiveFiles", err)
		testkit.Want(t, "length", len(msg), sizes[i/6%len(sizes)])
		testkit.Want(t, "number of files", len(files), counts[i%len(counts)])
		for _, f := range files {
			if i < 2 {
				wantCloseOnExec(t, f)
			}
			f.Close()
		}
	}
	testkit.WantNil(t, "SendFiles", testkit.Await(t, sent, "SendFiles"))
	testkit.WantError(t, "TryPoll", b.TryPoll(), ring.ErrEmpty)
}

// wantCloseOnExec checks that f does not stay open in programs that this one executes.
func wantCloseOnExec(t *testing.T, f *os.File) {
	t.Helper()
	info := string(testkit.Must(os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", f.Fd())))(t))
	_, flags, _ := strings.Cut(info, "flags:")
	var octal int
	testkit.Must(fmt.Sscanf(flags, "%o", &octal))(t)
	testkit.Want(t, "close-on-exec mark", octal&syscall.O_CLOEXEC, syscall.O_CLOEXEC)
}

// TestFiles_Unexpected sends files to a side that does not ask for them. Each method must close them.
func TestFiles_Unexpected(t *testing.T) {
	for what, do := range map[string]func(b *connection.Conn) error{
		"Receive": func(b *connection.Conn) error { return testkit.Second(b.Receive(testkit.Within(t))) },
		"ReceiveInto": func(b *connection.Conn) error {
			return testkit.Second(b.ReceiveInto(testkit.Within(t), make([]byte, 9)))
		},
		"Poll, Close": func(b *connection.Conn) error { return errors.Join(b.Poll(testkit.Within(t)), b.Close()) },
		"TryPoll":     func(b *connection.Conn) error { return errors.Join(b.Poll(testkit.Within(t)), b.TryPoll(), b.Close()) },
		"Close":       func(b *connection.Conn) error { return b.Close() },
	} {
		a, b := connect(t, "unix", abstract())
		r, w := pipe(t)
		testkit.WantNil(t, "SendFiles", a.SendFiles(testkit.Within(t), []byte("message"), w, w, w))
		w.Close()
		testkit.WantNil(t, what, do(b))
		wantEnd(t, what, r)
	}
}

// TestFiles_Errors covers the errors of SendFiles.
func TestFiles_Errors(t *testing.T) {
	a, b := connect(t, "unix", abstract())
	r, _ := pipe(t)
	closed, _ := pipe(t)
	closed.Close()
	many := make([]*os.File, connection.MaxFiles+1)
	for i := range many {
		many[i] = r
	}
	testkit.WantError(t, "too many files", a.SendFiles(testkit.Within(t), nil, many...), connection.ErrTooManyFiles)
	testkit.WantError(t, "a closed file", a.SendFiles(testkit.Within(t), nil, r, closed), os.ErrClosed)
	testkit.WantError(t, "no file", a.SendFiles(testkit.Within(t), nil, nil), os.ErrInvalid)
	testkit.WantNil(t, "SendFiles", a.SendFiles(testkit.Within(t), []byte("on"))) // none of that was sent
	testkit.Want(t, "message", string(testkit.Must(b.Receive(testkit.Within(t)))(t)), "on")

	a, b = connect(t, "tcp", "127.0.0.1:0")
	testkit.WantError(t, "SendFiles over TCP", a.SendFiles(testkit.Within(t), nil, r), errors.ErrUnsupported)
	testkit.WantError(t, "TryPoll", b.TryPoll(), ring.ErrEmpty)
	testkit.WantNil(t, "SendFiles without files", a.SendFiles(testkit.Within(t), []byte("on")))
	testkit.WantNil(t, "Poll", b.Poll(testkit.Within(t)))
	testkit.WantNil(t, "TryPoll", b.TryPoll())
	testkit.Want(t, "message", string(testkit.Must(b.Receive(testkit.Within(t)))(t)), "on")
}

// frame returns a frame of a message.
func frame(kind byte, files int, msg string) []byte {
	return append(append(binary.LittleEndian.AppendUint32(nil, uint32(len(msg))), kind, byte(files)), msg...)
}

// hostile returns a raw connection that has a key, and the other end.
func hostile(t testing.TB) (*net.UnixConn, *connection.Conn) {
	l, address := listen(t, options())
	c := raw(t, address)
	prove(t, c)
	return c.(*net.UnixConn), testkit.Closing(t, testkit.Must(l.Accept(testkit.Within(t)))(t))
}

// TestFiles_Hostile sends frames and files that no Conn sends. The receiver must fail, and keep nothing open.
func TestFiles_Hostile(t *testing.T) {
	for what, send := range map[string]func(c *net.UnixConn, rights func(n int) []byte) error{
		"files of no message": func(c *net.UnixConn, rights func(n int) []byte) error {
			return write(c, frame(0, 0, "hello"), rights(5))
		},
		"more files than announced": func(c *net.UnixConn, rights func(n int) []byte) error {
			return write(c, frame(0, 2, "hello"), rights(5))
		},
		"fewer files": func(c *net.UnixConn, rights func(n int) []byte) error {
			return write(c, frame(0, 2, "hello"), rights(1))
		},
		"files inside a message": func(c *net.UnixConn, rights func(n int) []byte) error {
			return errors.Join(write(c, frame(0, 0, "hello")[:8], nil), write(c, []byte("llo"), rights(5)))
		},
		"files with each byte": func(c *net.UnixConn, rights func(n int) []byte) error {
			for _, b := range frame(0, 0, "")[:5] {
				if err := write(c, []byte{b}, rights(connection.MaxFiles)); err != nil {
					return err
				}
			}
			return nil
		},
		"an unknown kind": func(c *net.UnixConn, rights func(n int) []byte) error {
			return write(c, frame(9, 1, ""), rights(1))
		},
		"an answer with a file": func(c *net.UnixConn, rights func(n int) []byte) error {
			return write(c, frame(2, 1, ""), rights(1))
		},
		"an offer without a file": func(c *net.UnixConn, rights func(n int) []byte) error {
			return write(c, frame(1, 0, ""), nil)
		},
	} {
		t.Run(what, func(t *testing.T) {
			c, b := hostile(t)
			r, w := pipe(t)
			failed := testkit.Async(func() error { return testkit.Second(b.Receive(testkit.Within(t))) })
			err := send(c, func(n int) []byte {
				fds := make([]int, n)
				for i := range fds {
					fds[i] = int(w.Fd())
				}
				return syscall.UnixRights(fds...)
			})
			testkit.WantNilOr(t, "write", err, syscall.EPIPE, syscall.ECONNRESET) // the receiver may have closed
			w.Close()
			testkit.WantError(t, "Receive", testkit.Await(t, failed, "Receive"), connection.ErrProtocol)
			wantEnd(t, "the files", r)
			testkit.WantError(t, "Receive", testkit.Second(b.Receive(testkit.Within(t))), connection.ErrClosed)
		})
	}
}

// TestFiles_Handshake sends files in the handshake.
func TestFiles_Handshake(t *testing.T) {
	l, address := listen(t, options())
	c := raw(t, address).(*net.UnixConn)
	r, w := pipe(t)
	testkit.WantNil(t, "write", write(c, []byte(magic), syscall.UnixRights(int(w.Fd()), int(w.Fd()))))
	w.Close()
	wantEnd(t, "the files", r) // while the client is still in its handshake
	serves(t, l)
}

func write(c *net.UnixConn, b, oob []byte) error {
	_, _, err := c.WriteMsgUnix(b, oob, nil)
	return err
}

// TestFiles_Limit receives files without having descriptors for them.
func TestFiles_Limit(t *testing.T) {
	a, b := connect(t, "unix", abstract())
	r, w := pipe(t)
	testkit.WantNil(t, "SendFiles", a.SendFiles(testkit.Within(t), []byte("message"), w, w, w))
	w.Close()
	var old syscall.Rlimit
	testkit.WantNil(t, "Getrlimit", syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old))
	least := testkit.Must(syscall.Dup(int(r.Fd())))(t) // the lowest descriptor that is free
	testkit.WantNil(t, "Setrlimit", syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: uint64(least), Max: old.Max}))
	_, _, err := b.ReceiveFiles(testkit.Within(t))
	testkit.WantNil(t, "Setrlimit", syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old))
	syscall.Close(least)
	testkit.WantError(t, "ReceiveFiles", err, syscall.EMFILE)
	wantEnd(t, "the files", r)
}

// TestValues sends typed values.
func TestValues(t *testing.T) {
	type point struct {
		Name string
		At   []float64
	}
	a, b := connect(t, "unix", abstract())
	testkit.WantNil(t, "Send", connection.Send(testkit.Within(t), a, point{"p", []float64{1, 2.5}}))
	got := testkit.Must(connection.Receive[point](testkit.Within(t), b))(t)
	testkit.Want(t, "value", got.Name, "p")
	testkit.Want(t, "value", got.At[1], 2.5)
	testkit.WantNil(t, "Send", connection.Send(testkit.Within(t), a, map[string]int{"a": 1}))
	testkit.WantError(t, "Receive of another type", testkit.Second(connection.Receive[point](testkit.Within(t), b)), ring.ErrDecode)
	testkit.WantNil(t, "Send", connection.Send(testkit.Within(t), a, "text"))
	testkit.Want(t, "bytes", string(testkit.Must(b.Receive(testkit.Within(t)))(t)), "text")
}
