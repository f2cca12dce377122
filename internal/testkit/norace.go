//go:build !race

package testkit

// Race reports whether the program was built with the race detector.
const Race = false
