// Package cpu holds the few instructions that Go has no name for.
//
// Pause tells the processor that it is in a spin loop. Fetch has cache lines
// brought that are going to be written. Self returns a number that no other
// goroutine running now has: the address of the runtime's descriptor of the
// calling goroutine. Descriptors are used again by later goroutines, never by two
// at a time, so "same number" means "same goroutine, or the former one is over".
// Where there is no stub for the architecture Self returns 0, which callers must
// read as "not known".
package cpu
