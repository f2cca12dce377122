//go:build linux && (amd64 || 386 || arm64 || arm || riscv64)

package cpu

// Self returns a number that identifies the calling goroutine among those that exist now: the
// address of the runtime's descriptor of the goroutine. The runtime reuses a descriptor after its
// goroutine has ended, so two calls that return the same number were made by the same goroutine, or
// the earlier caller has ended. Self returns 0 on platforms where it is not implemented; callers
// must treat 0 as "unknown".
func Self() uintptr

// Pause tells the processor that the caller is in a spin loop, which saves power and leaves the
// core to its other hardware thread for a few cycles. On arm and riscv64 it does nothing.
func Pause()
