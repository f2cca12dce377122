package proc

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Wait waits until the children of this process have ended that run when Wait is called, except
// daemons, or until ctx is done. It returns what Join returns for each, joined. It tries once even
// if ctx is done.
//
// Go has no hook at the end of main: when main returns, the kernel kills all children. So a program
// that wants to wait for them says so:
//
//	defer proc.Shutdown(ctx)
func Wait(ctx context.Context) error {
	var errs []error
	late := 0
	for p := range Children() {
		if p.Daemon() {
			continue
		}
		err := p.Join(ctx)
		if err != nil && !p.ended() {
			late++
			continue
		}
		errs = append(errs, err)
	}
	if late > 0 {
		errs = append(errs, fmt.Errorf("proc: Wait: %d children have not ended: %w", late, ctx.Err()))
	}
	return errors.Join(errs...)
}

// Shutdown ends what this process has started: it stops the daemons (see Process.Stop), waits for
// all other children, and stops those that have not ended when ctx is done. It also closes the
// program's own Spares. Call it at the end of main, or of a task that leaves children behind. It
// returns the errors of Wait. It may miss children that other goroutines start meanwhile.
func Shutdown(ctx context.Context) error {
	var daemons sync.WaitGroup
	stop := func(p *Process) {
		daemons.Go(func() { _ = p.Stop(ctx) }) // it fails only if the kernel does not end it
	}
	for p := range Children() {
		if p.Daemon() {
			stop(p)
		}
	}
	err := Wait(ctx)
	if ctx.Err() != nil {
		for p := range Children() {
			stop(p)
		}
	}
	daemons.Wait()
	closeOwnSpares()
	return err
}
