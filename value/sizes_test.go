package value

import (
	"errors"
	"math"
	"testing"

	"github.com/seed-2e7ecdea/mp/internal/layout"
	"github.com/seed-2e7ecdea/mp/shm"
)

// sizes returns the right size or ErrSize, whatever the size of T.
func TestSizes(t *testing.T) {
	most := (math.MaxInt-copiesOffset)/copies - line // the largest T whose four copies fit in an int
	for _, test := range []struct{ size, stride, total int }{
		{1, 0, copiesOffset},
		{8, 0, copiesOffset},
		{9, line, copiesOffset + copies*line},
		{line, line, copiesOffset + copies*line},
		{line + 1, 2 * line, copiesOffset + copies*2*line},
	} {
		stride, total, err := sizes(layout.Layout{Size: test.size})
		if stride != test.stride || total != test.total || err != nil {
			t.Errorf("a T of %d bytes: stride %d, total %d, %v; want %d, %d", test.size, stride, total, err, test.stride, test.total)
		}
	}
	stride, total, err := sizes(layout.Layout{Size: most})
	if stride < most || total < copiesOffset+copies*stride || (total-copiesOffset)/copies != stride || err != nil {
		t.Errorf("a T of %d bytes: stride %d, total %d, %v", most, stride, total, err)
	}
	for _, size := range []int{most + 1, math.MaxInt/copies + 1, math.MaxInt - line, math.MaxInt} {
		if _, _, err := sizes(layout.Layout{Size: size}); !errors.Is(err, shm.ErrSize) {
			t.Errorf("a T of %d bytes: %v, want ErrSize", size, err)
		}
	}
}
