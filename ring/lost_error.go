package ring

import "fmt"

// A LostError says how many values were overwritten before a subscriber received them. It wraps
// ErrLost. Values that nobody received may be counted too: that of a publisher that died inside
// Publish, and one for each time that a publisher of a long value began anew because another had
// taken the space.
type LostError struct {
	Count uint64
}

// Error returns the sentence.
func (e *LostError) Error() string {
	return fmt.Sprintf("%v: values that were overwritten before it received them: %d", ErrLost, e.Count)
}

// Unwrap returns ErrLost.
func (*LostError) Unwrap() error { return ErrLost }
