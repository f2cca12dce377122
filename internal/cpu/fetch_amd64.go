package cpu

// Fetch prefetches the cache lines of the n bytes at p for writing (PREFETCHW). It does not wait
// for them.
//
//go:noescape
func Fetch(p *byte, n uintptr)
