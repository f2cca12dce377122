//go:build !unbounded

package look

import "time"

// Bounded reports whether mp looks again by itself.
const Bounded = true

const (
	First = 50 * time.Millisecond // how long the first sleep of a wait is at most
	Last  = time.Second           // how long any sleep is at most
	Scan  = time.Second           // how often the locks of all parties are checked while goroutines wait or try
)
