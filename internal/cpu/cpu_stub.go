//go:build linux && (amd64 || 386 || arm64 || arm || riscv64)

package cpu

// Self returns a number that no other goroutine running now has.
func Self() uintptr

// Pause waits a few processor cycles, kindly.
func Pause()
