package array_test

import (
	"context"
	"os"
	"testing"

	"github.com/seed-2e7ecdea/mp/array"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
)

func TestMain(m *testing.M) {
	proc.Init()
	os.Exit(Main(m))
}

const room = 1 << 20 // the size of the tests' segments in bytes

func onBoth(t *testing.T, f func(t *testing.T, seg *shm.Segment)) { OnBoth(t, room, f) }

// A job is the argument of a child.
type job struct {
	Array *array.Array[int32]
	Text  *array.Bytes
	Cells *Cells
	N     int
}

func task(name string, f func(ctx context.Context, j job) (int, error)) *proc.Task[job, int] {
	return Task(name, f)
}

func newArray[T any](t testing.TB, seg *shm.Segment, n int) *array.Array[T] {
	t.Helper()
	return Closing(t, Must(array.New[T](seg, "", n, nil))(t))
}
