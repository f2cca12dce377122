package poll_test

import (
	"context"
	"os"
	"testing"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/poll"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

func TestMain(m *testing.M) {
	proc.Init()
	os.Exit(Main(m))
}

const segmentSize = 4 << 20 // of the tests, in bytes

func newQueue[T any](t testing.TB, seg *shm.Segment, capacity int) *ring.Queue[T] {
	t.Helper()
	return Closing(t, Must(ring.NewQueue[T](seg, "", capacity, nil))(t))
}

func newPipe(t testing.TB, seg *shm.Segment) (a, b *ring.Conn) {
	t.Helper()
	a, b, err := ring.NewPipe(seg, "", nil)
	WantNil(t, "NewPipe", err)
	return Closing(t, a), Closing(t, b)
}

func newEvent(t testing.TB, seg *shm.Segment) *psync.Event {
	t.Helper()
	return Closing(t, Must(psync.NewEvent(seg, ""))(t))
}

// wantSelect checks what a Select or TrySelect returned.
func wantSelect(t testing.TB, what string, i int, err error, want int, wantErr error) {
	t.Helper()
	Want(t, what, i, want)
	WantError(t, what, err, wantErr)
}

// A job is the argument of a child.
type job struct {
	N      int
	From   uint32
	Queues []*ring.Queue[message]
	Conn   *ring.Conn
	Event  *psync.Event
	Permit *psync.BoundedSemaphore
	Cells  *Cells
}

// A message has the number of its sender and its number among the messages of that sender.
type message struct{ From, Seq uint32 }

// idle is a child that says that it runs, and then waits until it is killed.
var idle = Task("idle", func(ctx context.Context, j job) (int, error) {
	j.Cells.Set(0, 1)
	<-ctx.Done()
	return 0, ctx.Err()
})

// cases returns the same as a list of Waitable.
func cases[W poll.Waitable](list ...W) (all []poll.Waitable) {
	for _, w := range list {
		all = append(all, w)
	}
	return all
}
