//go:build unbounded

package look

import "time"

// Bounded reports whether mp looks again by itself.
const Bounded = false

// First, Last and Scan are longer than a test lasts.
const (
	First = 24 * time.Hour
	Last  = First
	Scan  = First
)
