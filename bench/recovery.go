package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// A victimJob is the argument of a process that will be killed.
type victimJob struct {
	Ready *ring.Queue[signal] // gets a signal when the process holds what it should
	Lock  *psync.Lock         // to acquire, or nil
	End   *ring.Conn          // to hold, or nil
}

// victim is the task of a process that will be killed.
var victim = proc.Register("mp/bench/victim", func(ctx context.Context, j victimJob) (proc.None, error) {
	if j.Lock != nil {
		if err := j.Lock.Acquire(ctx); err != nil {
			return proc.None{}, err
		}
	}
	if err := j.Ready.Put(ctx, 0); err != nil {
		return proc.None{}, err
	}
	<-ctx.Done()
	return proc.None{}, context.Cause(ctx)
})

// A recoveryPort kills a process at each send, and waits at each receive until what it held is usable again: a lock is
// recovered, the pipe's other end learns of the death, or the process has been joined.
type recoveryPort struct {
	seg       *shm.Segment
	transport string
	ready     *ring.Queue[signal]
	lock      *psync.Lock
	end       *ring.Conn
	victim    *proc.Call[proc.None]
	sent      number
	pipes     int // number of pipes made so far, for their names
}

func openRecovery(seg *shm.Segment, s Scenario, _ role) (port, error) {
	p := &recoveryPort{seg: seg, transport: s.Transport}
	var err error
	if p.ready, err = ring.NewQueue[signal](seg, "victims", 1, nil); err != nil {
		return nil, err
	}
	if s.Transport == "lock" {
		p.lock, err = psync.NewLock(seg, "", nil)
	}
	return p, err
}

// prepare joins the process that was killed last, starts another, and waits until that holds what it should.
func (p *recoveryPort) prepare() error {
	if err := p.tidy(); err != nil {
		return err
	}
	j := victimJob{Ready: p.ready, Lock: p.lock}
	if p.transport == "pipe" {
		p.pipes++
		a, b, err := ring.NewPipe(p.seg, fmt.Sprint("victim ", p.pipes), &ring.PipeOptions{Capacity: 4096})
		if err != nil {
			return err
		}
		p.end, j.End = a, b
	}
	var err error
	if p.victim, err = victim.Start(background, j, nil); err != nil {
		return err
	}
	if j.End != nil {
		if err := j.End.Close(); err != nil {
			return err
		}
	}
	within, cancel := context.WithCancelCause(background)
	defer cancel(nil)
	ended := p.victim.Done()
	go func() {
		select {
		case <-ended:
			cancel(errors.New("the process that was to be killed ended before"))
		case <-within.Done():
		}
	}()
	if _, err = p.ready.Get(within); err != nil {
		return errors.Join(context.Cause(within), err)
	}
	return nil
}

func (p *recoveryPort) send(w number, _ uint64) error {
	if w&markLast != 0 {
		return nil
	}
	p.sent = w
	return p.victim.Kill()
}

func (p *recoveryPort) receive(t *tally, _ uint64) (uint64, error) {
	if err := p.recovered(); err != nil {
		return 0, err
	}
	return 1, t.enter(p.sent)
}

// recovered waits until what the killed process held is usable again, and checks that it learned of the death.
func (p *recoveryPort) recovered() error {
	switch p.transport {
	case "lock":
		died := false
		if err := p.lock.Recover(background, func() error { died = true; return nil }); err != nil {
			return err
		}
		if !died {
			return fmt.Errorf("%w: the lock was free, though its owner was killed", ErrVerify)
		}
	case "pipe":
		if n, err := p.end.ReceiveInto(background, nil); err != io.EOF {
			return fmt.Errorf("%w: received %d bytes, %v, from a killed process", ErrVerify, n, err)
		}
	default:
		return p.join()
	}
	return nil
}

// join joins the killed process.
func (p *recoveryPort) join() error {
	var exit *proc.ExitError
	if err := p.victim.Join(background); !errors.As(err, &exit) || exit.Signal() != syscall.SIGKILL {
		return fmt.Errorf("%w: a killed process ended with %v", ErrVerify, err)
	}
	return nil
}

// tidy joins the killed process and closes what belonged to it.
func (p *recoveryPort) tidy() error {
	if p.victim == nil {
		return nil
	}
	err := errors.Join(p.join(), p.victim.Close())
	if p.end != nil {
		err = errors.Join(err, p.end.Close())
	}
	p.victim, p.end = nil, nil
	return err
}

func (p *recoveryPort) close() error {
	if p.victim != nil { // it was prepared, and not killed
		_ = p.victim.Kill()
	}
	err := errors.Join(p.tidy(), p.ready.Close())
	if p.lock != nil {
		err = errors.Join(err, p.lock.Close())
	}
	return err
}
