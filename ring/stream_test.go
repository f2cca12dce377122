//go:build linux

package ring_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

// TestStream sends bytes through a pipe by io.Writer and io.Reader, in several ways.
func TestStream(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		want := pattern(make([]byte, 300_000), 1)
		for name, read := range map[string]func(r io.Reader) ([]byte, error){
			"ReadAll": io.ReadAll,
			"Copy": func(r io.Reader) ([]byte, error) {
				var b bytes.Buffer
				n, err := io.Copy(&b, r)
				if n != int64(b.Len()) {
					err = errors.Join(err, errors.New("wrong count"))
				}
				return b.Bytes(), err
			},
			"one byte": func(r io.Reader) ([]byte, error) { return io.ReadAll(iotest.OneByteReader(r)) },
			"half":     func(r io.Reader) ([]byte, error) { return io.ReadAll(iotest.HalfReader(r)) },
		} {
			r, w, err := ring.NewSimplex(seg, "", &ring.PipeOptions{Capacity: 4096})
			WantNil(t, "NewSimplex", err)
			ctx := Within(t)
			sent := Async(func() error {
				x := w.StreamWriter(ctx)
				// A message of a Conn, which may be empty or come in pieces, is bytes, too.
				err := errors.Join(w.Send(ctx, nil), w.Send(ctx, want[:100_000]), w.Send(ctx, nil))
				_, err2 := x.Write(nil)
				n, err3 := io.Copy(x, bytes.NewReader(want[100_000:]))
				if n != 200_000 {
					t.Errorf("%s: %d bytes were written", name, n)
				}
				return errors.Join(err, err2, err3, w.Close())
			})
			got, err := read(r.StreamReader(ctx))
			WantNil(t, name, err)
			if !bytes.Equal(got, want) {
				t.Errorf("%s: %d bytes, or they differ", name, len(got))
			}
			WantNil(t, "Write", Await(t, sent, "writer"))
			WantNil(t, "Close", r.Close())
			WantError(t, "Read", Second(r.StreamReader(ctx).Read(make([]byte, 1))), ring.ErrClosed)
			WantError(t, "Write", Second(w.StreamWriter(ctx).Write(make([]byte, 1))), ring.ErrClosed)
		}
	})
}

// failingWriter accepts so many bytes.
type failingWriter int

func (w *failingWriter) Write(p []byte) (int, error) {
	n := min(len(p), int(*w))
	*w -= failingWriter(n)
	if n < len(p) {
		return n, io.ErrClosedPipe
	}
	return n, nil
}

// TestStreamErrors shows what is returned with an error.
func TestStreamErrors(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		a, b := newPipe(t, seg, 4096)
		n, err := a.StreamWriter(Expired).Write(make([]byte, 10_000))
		WantError(t, "Write", err, Expired.Err())
		if n == 0 || n >= 4096 {
			t.Errorf("%d bytes were written", n)
		}
		got := 0
		buf := make([]byte, 100)
		r := b.StreamReader(Expired)
		for {
			k, err := r.Read(buf)
			if err != nil {
				WantError(t, "Read", err, Expired.Err())
				break
			}
			got += k
		}
		Want(t, "bytes", got, n)
		WantNil(t, "TrySend", a.TrySend(make([]byte, 60)))
		w := failingWriter(50)
		written, err := b.StreamReader(Within(t)).WriteTo(&w)
		WantError(t, "WriteTo", err, io.ErrClosedPipe)
		Want(t, "written", written, 50)
		WantError(t, "TryPoll", b.TryPoll(), ring.ErrEmpty)
		WantNil(t, "Close", b.Close())
		WantError(t, "Write", Second(a.StreamWriter(Within(t)).Write(buf)), ring.ErrBrokenPipe)
	})
}
