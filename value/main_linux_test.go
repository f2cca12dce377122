package value_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
	"github.com/seed-2e7ecdea/mp/value"
)

// How long the slow tests run.
var (
	torn       = flag.Duration("torn", 2*time.Second, "how long to look for torn reads")
	increments = flag.Int("increments", 100_000, "increments of each process")
	kills      = flag.Int("kills", 300, "writers to kill at random")
	counting   = flag.Duration("counting", time.Second, "how long to count while processes are killed")
)

// shortened returns v, the value of a flag, or a tenth of it in short tests and under the race
// detector, which can't check what other processes do.
func shortened[T int | time.Duration](v T) T {
	if testing.Short() || Race {
		return v / 10
	}
	return v
}

func TestMain(m *testing.M) {
	proc.Init()
	os.Exit(Main(m))
}

const segmentSize = 1 << 20 // of the tests, in bytes

func onBoth(t *testing.T, f func(t *testing.T, seg *shm.Segment)) { OnBoth(t, segmentSize, f) }

// big is a T of 4 KiB. It is whole if all of its words are equal.
type big [512]uint64

func newBig(n uint64) (b big) {
	for i := range b {
		b[i] = n
	}
	return b
}

func (b *big) check() error {
	for i, w := range b {
		if w != b[0] {
			return fmt.Errorf("torn: word 0 is %d, word %d is %d", b[0], i, w)
		}
	}
	return nil
}

// wantSome fails the test if n is not positive: if nothing happened of what the test watches.
func wantSome(t *testing.T, what string, n int) {
	t.Helper()
	if n <= 0 {
		t.Errorf("%s: %d, want some", what, n)
	}
}

// odd has padding, and a size that is not a multiple of 8.
type odd struct {
	A uint8
	B uint16
	C [3]uint8
	D uint32
	E [7]uint8
}

// A job is the argument of a child.
type job struct {
	N     int
	How   int
	Cells *Cells
	Int   *value.Int64
	Float *value.Float64
	Word  *value.Value[pair]
	Wide  *value.Value[wide]
	Big   *value.Value[big]
	Lock  *psync.Lock
}

// pair is a T that is a word.
type pair struct{ A, B int32 }

// task registers the function of a child.
func task(name string, f func(ctx context.Context, j job) (int, error)) *proc.Task[job, int] {
	return Task(name, f)
}

func newValue[T any](t testing.TB, seg *shm.Segment, init T) *value.Value[T] {
	t.Helper()
	return Closing(t, Must(value.New(seg, "", init, nil))(t))
}
