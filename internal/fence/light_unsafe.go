//go:build linux && amd64 && !race

package fence

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/seed-2e7ecdea/mp/internal/sys"
)

var registered atomic.Bool

// Ready reports whether Put may be used in place of Publish, that is, whether Heavy reaches this
// process.
func Ready() bool { return registered.Load() }

// Put64 is Publish64 for a caller to which Ready has returned true, or that calls Publish64 afterwards.
func Put64(p *atomic.Uint64, v uint64) { *(*uint64)(unsafe.Pointer(p)) = v }

// Put32 is Publish32 for a caller to which Ready has returned true.
func Put32(p *atomic.Uint32, v uint32) { *(*uint32)(unsafe.Pointer(p)) = v }

// Prepare registers this process with the kernel, once, so that Heavy reaches it. The registration
// runs in the background, because it takes some 10 ms in a process of several threads. Until it has
// succeeded, Publish is an atomic store.
var Prepare = sync.OnceFunc(func() {
	go func() {
		registered.Store(sys.RegisterBarrier())
		close(prepared)
	}()
})

// prepared is closed when the registration has succeeded or failed.
var prepared = make(chan struct{})

// Prepared calls Prepare and blocks until the registration has succeeded or failed, so that what is
// measured afterwards is not slower at first.
func Prepared() {
	Prepare()
	<-prepared
}
