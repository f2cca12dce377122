package bench

import (
	"context"
	"errors"
	"syscall"

	"github.com/seed-2e7ecdea/mp/proc"
)

// processes are the processes of a run. Each returns an R.
type processes[R any] struct {
	cancel context.CancelCauseFunc // of the run's context
	calls  []*proc.Call[R]
}

// start starts the process of a call. If the process fails, the run's context is cancelled with its error.
func (p *processes[R]) start(ctx context.Context, call *proc.Call[R]) error {
	if err := call.Start(ctx); err != nil {
		return err
	}
	p.calls = append(p.calls, call)
	go func() {
		<-call.Done()
		if err := call.Join(context.WithoutCancel(ctx)); err != nil {
			p.cancel(err)
		}
	}()
	return nil
}

// end kills the processes that still run, and waits until all have ended.
func (p *processes[R]) end() {
	for _, call := range p.calls {
		_ = call.Kill() // it was started and is not closed
	}
	for _, call := range p.calls {
		<-call.Done()
	}
}

// failure ends the processes and returns why the run failed. err is the error that the
// parent saw, which may be a mere consequence: if processes failed by themselves,
// their errors are returned instead.
func (p *processes[R]) failure(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	p.end()
	var own error
	for _, call := range p.calls {
		jerr := call.Join(context.WithoutCancel(ctx))
		var exit *proc.ExitError
		if jerr != nil && !(errors.As(jerr, &exit) && exit.Code == -int(syscall.SIGKILL)) {
			own = errors.Join(own, jerr)
		}
	}
	if own == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return own
}
