package ring_test

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

func TestMain(m *testing.M) {
	proc.Init()
	m.Run()
}

type echoArgs struct {
	Q *ring.Queue[[64]byte]
	C *ring.Conn
}

var echo = proc.Register("echo", func(ctx context.Context, in echoArgs) (int, error) {
	n := 0
	for {
		v, err := in.Q.Get(ctx)
		if err == ring.ErrShutdown {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		n++
		if err := in.C.Send(ctx, v[:8]); err != nil {
			return n, err
		}
	}
})

func TestSmoke(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	seg, err := shm.Anonymous(1<<20, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer seg.Close()
	q, err := ring.NewQueue[[64]byte](seg, "q", 10, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, b, err := ring.NewPipe(seg, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := echo.New(echoArgs{q, b}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(ctx); err != nil {
		t.Fatal(err)
	}
	b.Close()
	const N = 100000
	go func() {
		for i := range N {
			if err := q.Put(ctx, [64]byte{byte(i), byte(i >> 8)}); err != nil {
				t.Error(err)
				return
			}
		}
		q.Shutdown()
	}()
	buf := make([]byte, 100)
	for i := range N {
		n, err := a.ReceiveInto(ctx, buf)
		if err != nil || n != 8 || buf[0] != byte(i) || buf[1] != byte(i>>8) {
			t.Fatal(i, n, err, buf[:8])
		}
	}
	_, err = a.ReceiveInto(ctx, buf)
	if err != io.EOF {
		t.Fatal(err)
	}
	n, err := p.Result(ctx)
	t.Log(n, err, q.Len())
}
