package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/seed-2e7ecdea/mp/internal/sys"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
	"github.com/seed-2e7ecdea/mp/value"
)

// work is the task that each process of a run executes.
var work = proc.Register("mp/bench", func(_ context.Context, j job) (summary, error) { return j.run() })

// Run measures a scenario. It starts the processes, waits until all of them have
// ended, and removes the shared memory. If ctx ends, Run kills the processes.
//
// It returns a *ScenarioError, which wraps ErrScenario, if s is not valid; ErrVerify if a message
// was wrong; proc.ErrNoInit if the program has not called proc.Init; ctx's error; or the error of a
// process that failed. Runs may go on concurrently, but they compete for the CPUs.
func Run(ctx context.Context, s Scenario) (Result, error) {
	if err := s.Validate(); err != nil {
		return Result{}, err
	}
	s = s.withDefaults()
	r, err := run(ctx, s)
	switch cause := context.Cause(ctx); {
	case err == nil:
		return r, nil
	case cause != nil && !errors.Is(err, cause): // it is a mere consequence
		err = fmt.Errorf("%w: %w", cause, err)
	}
	return Result{}, fmt.Errorf("bench: %s: %w", s, err)
}

func run(ctx context.Context, s Scenario) (_ Result, err error) {
	t := findTransport(s.Transport).of(s)
	switch {
	case t.one:
		return runOne(ctx, s)
	case t.peer && t.open == nil:
		if err := Available(s.Transport); err != nil {
			return Result{}, err
		}
		return runPeer(ctx, s)
	case t.python:
		if err := Available(s.Transport); err != nil {
			return Result{}, err
		}
		return runPython(ctx, s)
	}
	roles := s.roles()
	// A closed segment stays mapped until it is collected, and a 32-bit address space has space for few of them.
	runtime.GC()
	seg, err := shm.Anonymous(2*memory+1<<20, nil)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, seg.Close()) }()
	ready, err := ring.NewQueue[signal](seg, readyName, len(roles), nil)
	if err != nil {
		return Result{}, err
	}
	start, err := ring.NewQueue[signal](seg, startName, len(roles), nil)
	if err != nil {
		return Result{}, err
	}
	base, err := value.NewUint64(seg, baseName, 0, nil)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, base.Close()) }()
	l := &link{}
	if t.create != nil {
		if l, err = t.create(seg, s); err != nil {
			return Result{}, err
		}
	}
	defer func() { err = errors.Join(err, l.release()) }()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ps := processes[summary]{cancel: cancel}
	defer ps.end()
	for i, r := range roles {
		j := job{Scenario: s, Role: r, Index: i, Process: i, Segment: seg}
		if r == consumer {
			j.Index -= s.Producers
		}
		call, err := work.New(j, &proc.Options{Name: fmt.Sprintf("%s %d", r, j.Index), Stdin: l.in[r], Stdout: l.out[r]})
		if err != nil {
			return Result{}, err
		}
		if err := ps.start(ctx, call); err != nil {
			return Result{}, err
		}
	}
	for range roles {
		if _, err := ready.Get(ctx); err != nil {
			return Result{}, ps.failure(ctx, err)
		}
	}
	if err := l.release(); err != nil {
		return Result{}, err
	}
	for range roles {
		if err := start.Put(ctx, 0); err != nil {
			return Result{}, ps.failure(ctx, err)
		}
	}
	var summaries []summary
	for i, call := range ps.calls {
		if roles[i] == consumer && roles[i-1] == producer && l.shutdown != nil { // all producers have ended
			if err := l.shutdown(); err != nil {
				return Result{}, err
			}
		}
		a, err := call.Result(ctx)
		if err != nil {
			return Result{}, ps.failure(ctx, err)
		}
		summaries = append(summaries, a)
	}
	return resultOf(s, summaries)
}

// runOne runs a scenario whose roles are goroutines of one process.
func runOne(ctx context.Context, s Scenario) (Result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ps := processes[[]summary]{cancel: cancel}
	defer ps.end()
	call, err := goroutines.New(s, &proc.Options{Name: s.Transport})
	if err != nil {
		return Result{}, err
	}
	if err := ps.start(ctx, call); err != nil {
		return Result{}, err
	}
	summaries, err := call.Result(ctx)
	if err != nil {
		return Result{}, ps.failure(ctx, err)
	}
	return resultOf(s, summaries)
}

// resultOf makes a result of the summaries of all roles.
func resultOf(s Scenario, summaries []summary) (Result, error) {
	if summaries[0].Role == caller {
		return latencyOf(s, summaries)
	}
	r, err := throughputOf(s, summaries)
	if err != nil {
		return Result{}, err
	}
	last := summaries[len(summaries)-1]
	switch s.Measure {
	case Paced:
		r.percentiles(last)
	case Idle:
		r.CPU, r.Switches = float64(last.Usage.CPU)/r.Seconds, float64(last.Usage.Switches)/r.Seconds
	}
	return r, nil
}

// latencyOf makes a result of the summaries of a caller and a responder.
func latencyOf(s Scenario, summaries []summary) (Result, error) {
	a := summaries[0]
	sent := a.Count + s.warmTrips()
	if answered := summaries[len(summaries)-1].Count; len(summaries) > 1 && answered != sent {
		return Result{}, fmt.Errorf("%w: %d of %d messages were answered", ErrVerify, answered, sent)
	}
	r := newResult(s, a.Count, a.End-a.Begin)
	r.spread(summaries, sent)
	r.percentiles(a)
	return r, nil
}

// throughputOf makes a result of the summaries of producers and consumers.
func throughputOf(s Scenario, summaries []summary) (Result, error) {
	if findTransport(s.Transport).latest {
		return latestOf(s, summaries)
	}
	var sent, received, sum, wantSum uint64
	var begin, end int64
	for i, a := range summaries {
		if i < s.Producers {
			sent += a.Count
			wantSum += sumOf(i, a.Count)
			continue
		}
		received += a.Count
		sum += a.Sum
		if a.Begin != 0 && (begin == 0 || a.Begin < begin) {
			begin = a.Begin
		}
		end = max(end, a.End)
	}
	arrived := sent
	if findTransport(s.Transport).copies {
		arrived *= uint64(s.Consumers)
		wantSum *= uint64(s.Consumers)
	}
	if received != arrived || sum != wantSum {
		return Result{}, fmt.Errorf("%w: %d should have been received and %d were, and the sums of their numbers differ by %d", ErrVerify, arrived, received, int64(sum-wantSum))
	}
	if begin == 0 || end == 0 {
		return Result{}, fmt.Errorf("%w: none was marked as the first or the last one measured", ErrVerify)
	}
	r := newResult(s, sent-uint64(s.Producers)*s.warmUp(), end-begin)
	r.spread(summaries, sent)
	return r, nil
}

// latestOf makes a result of the summaries of a producer and a consumer of the latest message. The clock starts when the
// producer has sent the warm-up, since the consumer may not have seen its end.
func latestOf(s Scenario, summaries []summary) (Result, error) {
	sent, got := summaries[0], summaries[1]
	if got.Last != numbered(0, sent.Count) || got.Count > sent.Count {
		return Result{}, fmt.Errorf("%w: %d of %d were received, of which the last was %d", ErrVerify, got.Count, sent.Count, got.Last/next)
	}
	r := newResult(s, sent.Count-s.warmUp(), got.End-sent.Begin)
	r.LoadsPerSec = float64(got.Loads) / r.Seconds
	r.spread(summaries, sent.Count)
	return r, nil
}

// spread enters the usage of all processes for each of n messages.
func (r *Result) spread(summaries []summary, n uint64) {
	var sum sys.Usage
	for _, a := range summaries {
		sum.CPU += a.Usage.CPU
		sum.Switches += a.Usage.Switches
	}
	r.CPU, r.Switches = float64(sum.CPU)/float64(n), float64(sum.Switches)/float64(n)
}
