package futex_test

import (
	"context"
	"errors"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/futex"
	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
)

// patience bounds every wait of the tests.
const patience = time.Minute

func TestMain(m *testing.M) {
	proc.Init()
	os.Exit(testkit.Main(m))
}

// within returns a context that ends when a test has waited too long.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeoutCause(t.Context(), patience, errors.New("the test has waited too long"))
	t.Cleanup(cancel)
	return ctx
}

// await waits for a value of c and fails the test if it takes too long.
func await[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		buf := make([]byte, 1<<20)
		t.Fatalf("stuck: %s\n%s", what, buf[:runtime.Stack(buf, true)])
		panic("not reached")
	}
}

// awaitSleeper waits until n goroutines have slept on word. It finds them by waking them, to which
// they must be indifferent.
func awaitSleeper(t testing.TB, word *atomic.Uint32, n int) {
	t.Helper()
	for deadline := time.Now().Add(patience); n > 0; {
		woken, err := futex.Wake(word, n)
		if err != nil {
			t.Fatal(err)
		}
		n -= woken
		if time.Now().After(deadline) {
			t.Fatal("stuck: too few waiters sleep")
		}
		time.Sleep(100 * time.Microsecond)
	}
}

// words are the words of an object of a segment.
type words struct{ object object.Object }

const wordsPrint = 1

func newWords(t testing.TB, seg *shm.Segment, n int) *words {
	t.Helper()
	o, err := object.New(seg, object.Spec{Kind: shm.KindLock, Size: 4 * n, Fingerprint: wordsPrint})
	if err != nil {
		t.Fatal(err)
	}
	return &words{o}
}

func (w *words) at(i int) *atomic.Uint32        { return view.At[atomic.Uint32](w.object.Bytes(), 4*i) }
func (w *words) Handle() shm.Handle             { return w.object.Handle(0) }
func (w *words) MarshalBinary() ([]byte, error) { return w.Handle().MarshalText() }
func (w *words) UnmarshalBinary(text []byte) error {
	var h shm.Handle
	if err := h.UnmarshalText(text); err != nil {
		return err
	}
	o, err := object.OpenHandle(h, shm.KindLock, wordsPrint)
	w.object = o
	return err
}
