package proc

import (
	"context"
	"syscall"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// afterGrace is what Stop adds to the grace, so that a task that does not return is ended by the
// signal that it was sent, if that is possible.
const afterGrace = 250 * time.Millisecond

// killWait is how long Stop waits for the end of a killed process when its context is done.
const killWait = time.Second

// Stop ends the process and all processes below it. It calls Terminate and waits. If the process
// has not ended shortly after its grace (see Options), or when ctx is done, Stop kills it, with
// those that it has started by whatever means. If the process ended in time, Stop kills those that
// it had started and left behind. It does not find processes whose parent had ended before.
//
// Stop returns nil when the process has ended, whatever its exit code. It fails with ErrNotStarted
// or ErrClosed, and with ctx's error if the kernel does not end the killed process within a second.
func (p *Process) Stop(ctx context.Context) error {
	if err := p.check("Stop"); err != nil {
		return err
	}
	if p.ended() {
		return nil
	}
	below := p.below()
	if err := p.signal("Stop", syscall.SIGTERM); err != nil {
		return err
	}
	timer := time.NewTimer(p.options.grace() + afterGrace)
	defer timer.Stop()
	select {
	case <-p.done:
		below.Kill()
		return nil
	case <-timer.C:
	case <-ctx.Done():
	}
	below.Forget()
	if p.options.Method != InProcess {
		_ = p.signal("Stop", sys.Suspend) // so that it starts no more; an error means that it has ended
	}
	p.below().Kill()
	if err := p.signal("Stop", syscall.SIGKILL); err != nil {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
	}
	timer.Reset(killWait)
	select {
	case <-p.done:
		return nil
	case <-timer.C:
		return failed("Stop", p.name, ctx.Err())
	}
}

// below returns the processes below p's.
func (p *Process) below() *sys.Tree {
	if p.options.Method == InProcess || p.ended() {
		return new(sys.Tree)
	}
	return sys.Below(p.PID())
}
