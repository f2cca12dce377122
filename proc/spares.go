package proc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// Spares are processes that were started ahead, for Options.Method Warm: each has run its package
// initialization, main up to Init, and a Preload, and waits for a task. When one is used or dies,
// another one is started in the background. A spare runs one task.
//
// A spare runs with the environment variables, working directory and standard files of the
// process that it becomes, but its package initialization and its Preload have seen those of the
// parent at the time, with empty standard input and output. Spares are not among Children.
//
// All methods may be called by several goroutines at once.
type Spares struct {
	size    int
	preload Job
	ctx     context.Context
	cancel  context.CancelFunc

	mu      sync.Mutex
	parked  []*spare
	growing int           // starts under way, and due
	delay   time.Duration // before the next start, after a failure
	changed chan struct{} // closed and made anew when anything above changes
	failure error         // of the last start; nil if it succeeded
	work    sync.WaitGroup
}

// SpareOptions are options of NewSpares. The zero value and nil are the defaults.
type SpareOptions struct {
	// Preload is a task that each spare runs before it waits: to read files, fill caches, or load
	// models. Its result is dropped. A process starts with this Method only if it has succeeded.
	// The Options of the Job have no effect.
	Preload Job
}

// The time between two starts of spares after the first is lost or fails, and after many.
const (
	firstDelay = time.Millisecond
	lastDelay  = time.Second
)

// ownSpares is the number of the program's own spares.
const ownSpares = 2

// NewSpares begins to start n spares, and returns at once. Close them. If n is 0 there are no
// spares, but each start runs the Preload first.
func NewSpares(n int, o *SpareOptions) *Spares {
	s := &Spares{size: n, changed: make(chan struct{})}
	if o != nil {
		s.preload = o.Preload
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fill()
	return s
}

// own are the spares that processes without Options.Spares use.
var own struct {
	mu     sync.Mutex
	spares *Spares // nil before the first use, and after Shutdown
}

// spares returns where p is started from.
func (p *Process) spares() *Spares {
	if p.options.Spares != nil {
		return p.options.Spares
	}
	own.mu.Lock()
	defer own.mu.Unlock()
	if own.spares == nil {
		own.spares = NewSpares(ownSpares, nil)
	}
	return own.spares
}

// closeOwnSpares ends the program's own spares. A later start makes others.
func closeOwnSpares() {
	own.mu.Lock()
	s := own.spares
	own.spares = nil
	own.mu.Unlock()
	if s != nil {
		s.Close()
	}
}

// Ready waits until all spares wait for a task, and returns nil, or until ctx is done. It tries
// once even if ctx is done. It fails with ErrClosed after Close, and with the error of the last
// start as well as that of ctx if a spare can't be started.
func (s *Spares) Ready(ctx context.Context) error {
	for {
		s.mu.Lock()
		ready, changed, failure := len(s.parked) >= s.size, s.changed, s.failure
		s.mu.Unlock()
		switch {
		case s.ctx.Err() != nil:
			return s.closed("Ready")
		case ready:
			return nil
		}
		select {
		case <-changed:
		case <-s.ctx.Done():
		case <-ctx.Done():
			return fmt.Errorf("proc: Ready of spares: %w", errors.Join(ctx.Err(), failure))
		}
	}
}

func (s *Spares) closed(op string) error {
	return fmt.Errorf("proc: %s of spares: Close was called on them: %w", op, ErrClosed)
}

// Close ends the spares, and waits until they have ended. Processes that were started from them go
// on. Closing again returns nil.
func (s *Spares) Close() error {
	s.cancel()
	s.mu.Lock()
	parked := s.parked
	s.parked = nil
	s.mu.Unlock()
	for _, one := range parked {
		one.end()
	}
	s.work.Wait()
	return nil
}

// fill starts as many spares as are missing, in the background. s.mu is held.
func (s *Spares) fill() {
	for s.ctx.Err() == nil && len(s.parked)+s.growing < s.size {
		s.growing++
		delay := s.delay
		s.work.Go(func() { s.grow(delay) })
	}
}

// grow starts a spare after that time.
func (s *Spares) grow(delay time.Duration) {
	var one *spare
	err := s.sleep(delay)
	if err == nil {
		one, err = s.startOne(s.ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.tell()
	s.growing--
	s.failure = err
	switch {
	case err != nil:
		s.slowDown()
	case s.ctx.Err() != nil:
		s.work.Go(one.end)
	default:
		s.parked = append(s.parked, one)
		s.work.Go(func() { s.watch(one) })
	}
	s.fill()
}

// tell wakes the callers of Ready. s.mu is held.
func (s *Spares) tell() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// slowDown makes the next start wait longer than the last. s.mu is held.
func (s *Spares) slowDown() { s.delay = min(max(2*s.delay, firstDelay), lastDelay) }

// sleep waits. It fails if s is closed.
func (s *Spares) sleep(delay time.Duration) error {
	if delay == 0 {
		return s.ctx.Err()
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

// startOne starts a spare, and waits until it is parked.
func (s *Spares) startOne(ctx context.Context) (*spare, error) {
	if s.preload.err != nil {
		return nil, s.preload.err
	}
	return startSpare(ctx, s.preload)
}

// watch waits until one has ended. If nobody has taken it, watch replaces it.
func (s *Spares) watch(one *spare) {
	select {
	case <-one.exited:
	case <-one.used:
		return
	}
	s.mu.Lock()
	i := slices.Index(s.parked, one)
	if i >= 0 {
		s.parked = slices.Delete(s.parked, i, i+1)
		s.slowDown()
		s.fill()
	}
	s.mu.Unlock()
	if i >= 0 {
		_ = one.bury() // the set goes on without it
	}
}

// take returns a spare that waits, which belongs to the caller from then on, or nil.
func (s *Spares) take() *spare {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.parked) == 0 {
		return nil
	}
	one := s.parked[0]
	s.parked = slices.Delete(s.parked, 0, 1)
	close(one.used)
	return one
}

// mostGone bounds how often a start tries again because a spare has ended at that very moment, or
// was killed before it was ready.
const mostGone = 8

// start makes a spare the process p. env is its whole environment.
func (s *Spares) start(ctx context.Context, p *Process, std standard, env []string) (l *link, err error) {
	if err := sys.CheckDir(p.options.Dir); err != nil {
		return nil, err
	}
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if err == nil {
			s.delay = 0
		}
		s.fill()
	}()
	for range mostGone {
		if s.ctx.Err() != nil {
			return nil, s.closed("Start")
		}
		one := s.take()
		if one == nil {
			one, err = s.startOne(ctx)
			if exit := (*ExitError)(nil); errors.As(err, &exit) && exit.Signal() != 0 {
				continue // it was killed, perhaps because somebody took it for a spare
			}
			if err != nil {
				return nil, err
			}
		}
		r := p.request()
		r.env = env
		if r.dir, err = one.directory(p.options.Dir); err != nil {
			one.end()
			return nil, err
		}
		if err = one.take(ctx, p, std, r); err == nil {
			return one.link, nil
		}
		if !errors.Is(err, errGone) {
			return nil, err
		}
	}
	return nil, err
}
