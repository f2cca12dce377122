package proc

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// echoEngine is an engine that answers each call at once, with its argument.
type echoEngine struct {
	engine // nil: what Map does not need
	answer []byte
}

func (e *echoEngine) submit(_ string, b *batch) error {
	rest := b.data
	for i := range b.n {
		argument, more, err := cutCall(rest)
		if err != nil {
			return err
		}
		rest = more
		e.answer = append(append(e.answer[:0], answerResult), argument...)
		b.work.deliver(i, "echo", e.answer)
	}
	b.release()
	b.work.took(time.Microsecond)
	b.work.delivered(b.n)
	return nil
}

func (e *echoEngine) room() int               { return 8 }
func (e *echoEngine) chunk(time.Duration) int { return 16 }
func (e *echoEngine) local() bool             { return true }

// Map allocates the memory of its first batches, and uses it again for all others.
func TestMapAllocations(t *testing.T) {
	for _, chunk := range []int{0, 1, 7} {
		t.Run(fmt.Sprintf("chunk=%d", chunk), func(t *testing.T) {
			p := &Pool{engine: &echoEngine{}}
			task := &Task[int, int]{name: "echo"}
			allocations := func(calls int) float64 {
				return testing.AllocsPerRun(10, func() {
					want := 0
					for got, err := range task.Map(context.Background(), p, numbersTo(calls), &MapOptions{Chunk: chunk}) {
						if got != want || err != nil {
							t.Fatalf("result %d is %d, %v", want, got, err)
						}
						want++
					}
					if want != calls {
						t.Fatalf("%d results of %d calls", want, calls)
					}
				})
			}
			few, many := allocations(100), allocations(100_000)
			t.Logf("%v allocations for 100 calls, %v for 100,000", few, many)
			if many > few+20 {
				t.Errorf("%v allocations for 100 calls, and %v for 100,000", few, many)
			}
		})
	}
}

func numbersTo(n int) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}
