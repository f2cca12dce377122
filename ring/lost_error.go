package ring

import "fmt"

// A LostError says how many values were overwritten before a subscriber received them. It wraps
// ErrLost. If a publisher died inside Publish, its value, which nobody received, may be counted too.
type LostError struct {
	Count uint64
}

// Error returns the sentence.
func (e *LostError) Error() string {
	return fmt.Sprintf("%v: values that were overwritten before it received them: %d", ErrLost, e.Count)
}

// Unwrap returns ErrLost.
func (*LostError) Unwrap() error { return ErrLost }
