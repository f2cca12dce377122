//go:build linux

package ring_test

import (
	"os"
	"testing"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

func TestMain(m *testing.M) {
	proc.Init()
	os.Exit(Main(m))
}

// A message has the number of its sender and its number among the messages of that sender.
type message struct{ From, Seq uint32 }

// A job is the argument of a child.
type job struct {
	N     int
	From  uint32
	Queue *ring.Queue[message]
	Conn  *ring.Conn
	Cells *Cells
}

const room = 4 << 20 // size of the tests' segments

func onBoth(t *testing.T, f func(t *testing.T, seg *shm.Segment)) { OnBoth(t, room, f) }

func newQueue[T any](t testing.TB, seg *shm.Segment, capacity int) *ring.Queue[T] {
	t.Helper()
	return Closing(t, Must(ring.NewQueue[T](seg, "", capacity, nil))(t))
}

func newPipe(t testing.TB, seg *shm.Segment, capacity int) (a, b *ring.Conn) {
	t.Helper()
	a, b, err := ring.NewPipe(seg, "", &ring.PipeOptions{Capacity: capacity})
	if err != nil {
		t.Fatal(err)
	}
	return Closing(t, a), Closing(t, b)
}

// wantOnce checks that each cell from first on is 1: each message was received exactly once.
func wantOnce(t testing.TB, c *Cells, first int) {
	t.Helper()
	bad := 0
	for i := first; i < c.Len(); i++ {
		if n := c.At(i).Load(); n != 1 {
			if bad++; bad <= 10 {
				t.Errorf("message %d was received %d times", i-first, n)
			}
		}
	}
	if bad > 10 {
		t.Errorf("%d messages in all were not received exactly once", bad)
	}
}

// pattern fills b with bytes that depend on n and on their index, and returns b.
func pattern(b []byte, n int) []byte {
	for i := range b {
		b[i] = byte(n*31 + i*7 + i>>8)
	}
	return b
}

// closeWhileBusy is CloseWhileBusy for operations of pipes and queues.
func closeWhileBusy(t *testing.T, seg *shm.Segment, ops []func() error) {
	t.Helper()
	CloseWhileBusy(t, seg, []error{ring.ErrFull, ring.ErrEmpty, ring.ErrBusy}, ops...)
}
