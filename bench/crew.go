package bench

import (
	"context"
	"errors"
	"syscall"

	"github.com/seed-2e7ecdea/mp/proc"
)

// A crew is the processes of a run.
type crew struct {
	cancel context.CancelCauseFunc
	calls  []*proc.Call[account]
}

// start starts a process. If it fails later, the run's context is cancelled.
func (c *crew) start(ctx context.Context, j job, o *proc.Options) error {
	call, err := work.New(j, o)
	if err != nil {
		return err
	}
	if err := call.Start(ctx); err != nil {
		return err
	}
	c.calls = append(c.calls, call)
	go func() {
		<-call.Done()
		if err := call.Join(context.WithoutCancel(ctx)); err != nil {
			c.cancel(err)
		}
	}()
	return nil
}

// end kills who still runs, and waits until nobody does.
func (c *crew) end() {
	for _, call := range c.calls {
		_ = call.Kill() // it was started and is not closed
	}
	for _, call := range c.calls {
		<-call.Done()
	}
}

// failure returns why the run fails, after err: all that its processes say, if
// that is why, rather than err, which may be but a consequence.
func (c *crew) failure(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	c.end()
	var said error
	for _, call := range c.calls {
		jerr := call.Join(context.WithoutCancel(ctx))
		var exit *proc.ExitError
		if jerr != nil && !(errors.As(jerr, &exit) && exit.Code == -int(syscall.SIGKILL)) {
			said = errors.Join(said, jerr)
		}
	}
	if said == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return said
}
