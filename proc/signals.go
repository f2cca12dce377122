package proc

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// listen makes this process, a child, end its task when it gets SIGTERM or SIGINT, and when its
// parent has died. If SIGINT is ignored, as in a job in the background, it stays ignored.
func (h *heritage) listen(cancel context.CancelCauseFunc, r *request) {
	h.ending = &ending{cancel: cancel, end: endBy}
	signals := make(chan os.Signal, 8)
	for _, sig := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		if !signal.Ignored(sig) {
			signal.Notify(signals, sig)
		}
	}
	go func() {
		for sig := range signals {
			if os.Getppid() != r.parentPID {
				h.orphaned(r.linger) // the kernel has sent the signal: see Options.Linger
				continue
			}
			h.ending.ask(sig.(syscall.Signal), r.grace)
		}
	}()
}

// orphaned ends the task because the parent has died.
func (h *heritage) orphaned(linger time.Duration) {
	h.once.Do(func() {
		close(Parent().done)
		h.ending.first(0, ErrParentDied)
		time.AfterFunc(linger, func() { os.Exit(1) })
	})
}

// endBy ends this process by the signal, as if the process did not handle it.
func endBy(sig syscall.Signal) {
	signal.Reset(sig)
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Signal(sig)
	}
	if err != nil {
		os.Exit(1) // it can't be: the process may signal itself
	}
}
