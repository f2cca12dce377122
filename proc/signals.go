package proc

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// hangupWait is how long a lingering process waits for the end of its control socket after the
// kernel's signal. A dying parent's threads end one after the other, and the kernel may send the
// signal for each of them.
const hangupWait = time.Second

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
	if r.linger > 0 {
		signal.Notify(signals, deathOfLingering)
	}
	go func() {
		for sig := range signals {
			if sig == deathOfLingering {
				go h.hangup()
				continue
			}
			h.ending.ask(sig.(syscall.Signal), r.grace)
		}
	}()
}

// hangup ends this process by the kernel's signal that the parent has died, unless it has died:
// then the process lingers.
func (h *heritage) hangup() {
	timer := time.NewTimer(hangupWait)
	defer timer.Stop()
	select {
	case <-Parent().Done():
	case <-timer.C:
		endBy(deathOfLingering) // it is somebody else's
	}
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
