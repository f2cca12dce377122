//go:build linux && amd64 && !race

package fence

import (
	"sync"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/sys"
)

var registered atomic.Bool

// light tells whether Publish64 and Publish32 are plain stores.
func light() bool { return registered.Load() }

// Prepare asks the kernel, once and in the background, to let Heavy reach
// this process: in a program of several threads that takes it some 10 ms. Until
// it has answered, Publish is the atomic store.
var Prepare = sync.OnceFunc(func() {
	go func() { registered.Store(sys.RegisterBarrier()) }()
})
