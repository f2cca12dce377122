//go:build linux

package ring_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/poll"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
)

// echoer sends back what it gets through the queue that comes with it.
var echoer = proc.Register("echoer", func(ctx context.Context, in *ring.Queue[request]) (int, error) {
	for r, err := range in.All(ctx) {
		if err != nil {
			return 0, err
		}
		if err := r.Answers.Put(ctx, r.Body); err != nil {
			return 0, err
		}
	}
	return 0, nil
})

// A request has the queue for its answer.
type request struct {
	Body    []byte
	Answers *ring.Queue[[]byte]
}

// TestEncodedChild sends 16 MiB to a child and back, through queues of which one travels through the other.
func TestEncodedChild(t *testing.T) {
	ctx := Within(t)
	seg := Anonymous(t, 256<<20)
	q, answers := newQueue[request](t, seg, 2), newQueue[[]byte](t, seg, 2)
	child := Must(echoer.Start(ctx, q, nil))(t)
	for _, n := range []int{0, 10, 16 << 20, 1000} {
		body := pattern(make([]byte, n), n)
		WantNil(t, "Put", q.Put(ctx, request{body, answers}))
		if got := Must(answers.Get(ctx))(t); !bytes.Equal(got, body) {
			t.Errorf("sent %d bytes, and got %d others", n, len(got))
		}
	}
	WantNil(t, "Shutdown", q.Shutdown())
	WantNil(t, "the child", Second(child.Result(ctx)))
	wantUnused(t, q)
	wantUnused(t, answers)
}

// TestEncodedSelect wakes selects that wait at queues of encoded values.
func TestEncodedSelect(t *testing.T) {
	ctx := Within(t)
	seg := Heap(t, room)
	full, empty := newStored[string](t, seg, 4, 4<<10), newStored[string](t, seg, 4, 4<<10)
	long := strings.Repeat("x", 3*1008)
	for range 50 {
		WantNil(t, "Put", full.TryPut(long)) // there are slots, but no blocks
		var got string
		put := Async(func() error { return Second(poll.Select(ctx, full.PutCase(&long), empty.GetCase(&got))) })
		short := Async(func() error { return Second(poll.Select(ctx, full.PutCase(&got))) })
		WantNil(t, "PutCase of a short value", Await(t, short, "a PutCase for which there is space"))
		Must(full.Get(ctx))(t)
		WantNil(t, "PutCase", Await(t, put, "a PutCase for which there is space"))
		Must(full.Get(ctx))(t)
		Must(full.Get(ctx))(t)
		get := Async(func() error { return Second(poll.Select(ctx, empty.GetCase(&got))) })
		WantNil(t, "Put", empty.Put(ctx, long))
		WantNil(t, "GetCase", Await(t, get, "a GetCase for which there is a value"))
		if got != long {
			t.Fatalf("got %.20q", got)
		}
	}
	wantUnused(t, full)
	wantUnused(t, empty)
}

func TestEncodedChan(t *testing.T) {
	ctx := Within(t)
	seg := Heap(t, room)
	q := newStored[string](t, seg, 2, 4<<10)
	from, to := make(chan string), make(chan string)
	in := Async(func() error { return errors.Join(Second(ring.FromChan(ctx, from, q)), q.Shutdown()) })
	out := Async(func() error { defer close(to); return ring.ToChan(ctx, q, to) })
	go func() {
		defer close(from)
		for i := range 100 {
			from <- strings.Repeat("v", 10*i)
		}
	}()
	n := 0
	for v := range to {
		if len(v) != 10*n {
			t.Fatalf("value %d has %d bytes", n, len(v))
		}
		n++
	}
	if n != 100 {
		t.Errorf("got %d values, want 100", n)
	}
	WantNil(t, "FromChan", Await(t, in, "FromChan"))
	WantNil(t, "ToChan", Await(t, out, "ToChan"))
	wantUnused(t, q)
}

// A counter is encoded by a codec of its own.
type counter struct{ N uint32 }

type counterCodec struct{}

func (counterCodec) Append(dst []byte, v *counter) ([]byte, error) {
	return binary.BigEndian.AppendUint32(dst, v.N), nil
}

func (counterCodec) Decode(src []byte, v *counter) error {
	if len(src) != 4 {
		return errors.New("not four bytes")
	}
	v.N = binary.BigEndian.Uint32(src)
	return nil
}

func init() { ring.RegisterCodec[counter](counterCodec{}) }

func TestRegisterCodec(t *testing.T) {
	travel(t, Heap(t, room), "counter", counter{}, counter{1 << 30})
	defer func() {
		if recover() == nil {
			t.Error("a second codec for a type was accepted")
		}
	}()
	ring.RegisterCodec[counter](counterCodec{})
}
