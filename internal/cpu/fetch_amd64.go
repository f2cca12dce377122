package cpu

// Fetch asks for the cache lines of n bytes from p on, which are going to be
// written.
//
//go:noescape
func Fetch(p *byte, n uintptr)
