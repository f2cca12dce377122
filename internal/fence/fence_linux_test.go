package fence

import (
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// TestPrepared wants publishers to be cheap as soon as Prepared has returned, where the kernel has the fence.
func TestPrepared(t *testing.T) {
	done := make(chan struct{})
	go func() {
		Prepared()
		Prepared() // it is over
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("the registration for fences is not over after a minute")
	}
	if !Ready() && sys.RegisterBarrier() {
		t.Error("the process is registered, and publishers execute fences of their own")
	}
}
