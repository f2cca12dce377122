package proc

import (
	"context"
	"runtime"
	"sync"
)

// starter is the way to the goroutine that starts all children. It keeps its OS
// thread until this process ends, since the kernel kills a child when the thread
// that started it ends (golang/go#27505).
var starter = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

// onStarter runs f on the starter and waits for it, or runs late if ctx is done
// before the starter is free.
func onStarter(ctx context.Context, f, late func()) {
	done := make(chan struct{})
	select {
	case starter() <- func() { f(); close(done) }:
		<-done
	case <-ctx.Done():
		late()
	}
}
