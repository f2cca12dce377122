//go:build !amd64

package cpu

// Fetch does nothing here.
func Fetch(p *byte, n uintptr) {}
