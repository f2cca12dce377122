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

// catch has SIGTERM and SIGINT sent to h.signals. If SIGINT is ignored, as in a job in the background, it
// stays ignored. The first call for a signal takes 0.1 ms: a thread of Go's runtime must wake up for it.
func (h *heritage) catch() {
	h.signals = make(chan os.Signal, 8)
	for _, sig := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		if !signal.Ignored(sig) {
			signal.Notify(h.signals, sig)
		}
	}
}

// listenParked deals with the signals to a spare until taken is closed: SIGTERM ends it, and SIGINT does not. A
// signal that comes later is for the task.
func (h *heritage) listenParked(taken <-chan struct{}) {
	for {
		select {
		case sig := <-h.signals:
			select {
			case <-taken:
				h.signals <- sig
				return
			default:
			}
			if sig == syscall.SIGTERM {
				endBy(syscall.SIGTERM)
			}
		case <-taken:
			return
		}
	}
}

// listen makes this process, a child, end its task when it gets one of h.signals, and when its parent has
// died.
func (h *heritage) listen(cancel context.CancelCauseFunc, r *request) {
	h.ending = &ending{cancel: cancel, end: endBy}
	if h.signals == nil {
		h.catch()
	}
	if r.linger > 0 {
		signal.Notify(h.signals, deathOfLingering)
	}
	go func() {
		for sig := range h.signals {
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
