package proc_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/proc"
)

// The memory of batches is used again while the loop runs. What the loop has yielded stays as it was,
// also if workers are replaced, so that batches are split, and if calls have a timeout.
func TestMapKeepsResults(t *testing.T) {
	const calls = 3000
	for _, chunk := range []int{0, 1, 7} {
		for name, o := range map[string]*proc.PoolOptions{"": nil, "replaced": {MaxTasks: 701}, "timed": {Timeout: time.Minute}} {
			t.Run(fmt.Sprintf("chunk=%d,%s", chunk, name), func(t *testing.T) {
				t.Parallel()
				p := newPool(t, 2, o)
				var results [][]byte
				for b, err := range poolEcho.Map(t.Context(), p, echoed(calls), &proc.MapOptions{Chunk: chunk}) {
					if err != nil {
						t.Fatal(err)
					}
					results = append(results, b)
				}
				i := 0
				for want := range echoed(calls) {
					if i >= len(results) || !bytes.Equal(results[i], want) {
						t.Fatalf("of %d results, number %d is not its argument", len(results), i)
					}
					i++
				}
			})
		}
	}
}

// echoed yields n arguments of several lengths.
func echoed(n int) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for i := range n {
			b := fmt.Appendf(nil, "%d", i)
			if !yield(bytes.Repeat(b, 1+i*i%200)) {
				return
			}
		}
	}
}
