//go:build !(linux && amd64) || race

package fence

import "sync/atomic"

// Ready reports whether Put may be used in place of Publish: always, since it is an atomic store
// here.
func Ready() bool { return true }

// Put64 is Publish64.
func Put64(p *atomic.Uint64, v uint64) { p.Store(v) }

// Put32 is Publish32.
func Put32(p *atomic.Uint32, v uint32) { p.Store(v) }

// Prepare does nothing here.
func Prepare() {}

// Prepared does nothing here.
func Prepared() {}
