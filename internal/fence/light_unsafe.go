//go:build linux && amd64 && !race

package fence

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/seed-2e7ecdea/mp/internal/sys"
)

var registered atomic.Bool

// Ready tells whether Put publishes: whether Heavy reaches this process.
func Ready() bool { return registered.Load() }

// Put64 is Publish64 for a caller that has found Ready.
func Put64(p *atomic.Uint64, v uint64) { *(*uint64)(unsafe.Pointer(p)) = v }

// Put32 is Publish32 for a caller that has found Ready.
func Put32(p *atomic.Uint32, v uint32) { *(*uint32)(unsafe.Pointer(p)) = v }

// Prepare asks the kernel, once and in the background, to let Heavy reach
// this process: in a program of several threads that takes it some 10 ms. Until
// it has answered, Publish is the atomic store.
var Prepare = sync.OnceFunc(func() {
	go func() { registered.Store(sys.RegisterBarrier()) }()
})
