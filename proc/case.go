package proc

import (
	"github.com/seed-2e7ecdea/mp/internal/wait"
	"github.com/seed-2e7ecdea/mp/poll"
)

// Case returns a case of poll.Select that is ready when the process has ended. It is not ready
// while the process is not started. It never fails.
func (p *Process) Case() poll.Case {
	return wait.Public(&wait.Case{
		Room: wait.Private, Waiter: exitWaiter{p}, Result: func(err error) error { return err },
	}).(poll.Case)
}

// An exitWaiter waits for the end of a process.
type exitWaiter struct{ p *Process }

// Try implements wait.Waiter.
func (w exitWaiter) Try() (bool, error) { return w.p.ended(), nil }

// Arm implements wait.Waiter.
func (w exitWaiter) Arm() (wait.Armed, bool) { return w.p.end.Arm(), true }

// Pass implements wait.Waiter. The end wakes all waiters, so there is no wake to pass on.
func (w exitWaiter) Pass(woken, done bool) {}
