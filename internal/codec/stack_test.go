package codec_test

import (
	"testing"

	"github.com/seed-2e7ecdea/mp/internal/codec"
)

// deeper calls f with n more frames on the stack.
//
//go:noinline
func deeper(n int, f func()) {
	if n == 0 {
		f()
		return
	}
	deeper(n-1, f)
}

// TestStackMoves encodes and decodes variables on stacks that have to grow, and so move, at each
// point of the codec's code.
func TestStackMoves(t *testing.T) {
	text := of[string](t)
	slice := of[[]byte](t)
	number := of[int](t)
	pair := of[struct{ A, B string }](t)
	for depth := range 400 {
		done := make(chan struct{})
		go func() {
			defer close(done)
			deeper(depth, func() {
				onStack(t, depth, text, "a string that does not fit into 32 bytes", func(a, b string) bool { return a == b })
				onStack(t, depth, number, 12345, func(a, b int) bool { return a == b })
				onStack(t, depth, slice, []byte("bytes"), func(a, b []byte) bool { return string(a) == string(b) })
				onStack(t, depth, pair, struct{ A, B string }{"one", "two"}, func(a, b struct{ A, B string }) bool { return a == b })
			})
		}()
		<-done
	}
}

func onStack[T any](t *testing.T, depth int, c *codec.Codec[T], v T, equal func(a, b T) bool) {
	var got T
	b, err := c.Append(nil, &v)
	if err == nil {
		err = c.Decode(b, &got)
	}
	if err != nil || !equal(got, v) {
		t.Errorf("at depth %d, %v arrives as %v, %v", depth, v, got, err)
	}
}
