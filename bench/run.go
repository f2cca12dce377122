package bench

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

// work is the task of the processes of a run.
var work = proc.Register("mp/bench", func(_ context.Context, j job) (account, error) { return j.do() })

// Run measures. It starts the processes, and returns when all of them have
// ended, nothing of them being left. It fails with ErrScenario, ErrVerify,
// proc.ErrNoInit, ctx's error, or that of a process.
func Run(ctx context.Context, s Scenario) (Result, error) {
	if err := s.Validate(); err != nil {
		return Result{}, err
	}
	s = s.whole()
	r, err := run(ctx, s)
	if err != nil {
		return Result{}, fmt.Errorf("bench: %s: %w", s, err)
	}
	return r, nil
}

func run(ctx context.Context, s Scenario) (_ Result, err error) {
	t := findTransport(s.Transport)
	cast := s.cast()
	seg, err := shm.Anonymous(t.memory(s)+1<<16, nil)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, seg.Close()) }()
	ready, err := ring.NewQueue[signal](seg, readyName, len(cast), nil)
	if err != nil {
		return Result{}, err
	}
	start, err := ring.NewQueue[signal](seg, startName, len(cast), nil)
	if err != nil {
		return Result{}, err
	}
	m, err := t.lay(seg, s)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, m.release()) }()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c := crew{cancel: cancel}
	defer c.end()
	for i, p := range cast {
		j := job{Scenario: s, Part: p, Index: i, Process: i, Segment: seg}
		if p == consumer {
			j.Index -= s.Producers
		}
		if err := c.start(ctx, j, &proc.Options{Name: fmt.Sprintf("%s %d", p, j.Index), Stdin: m.in[p], Stdout: m.out[p]}); err != nil {
			return Result{}, err
		}
	}
	for range cast {
		if _, err := ready.Get(ctx); err != nil {
			return Result{}, c.failure(ctx, err)
		}
	}
	if err := m.release(); err != nil {
		return Result{}, err
	}
	for range cast {
		if err := start.Put(ctx, 0); err != nil {
			return Result{}, c.failure(ctx, err)
		}
	}
	var accounts []account
	for i, call := range c.calls {
		if cast[i] == consumer && cast[i-1] == producer && m.shutdown != nil {
			if err := m.shutdown(); err != nil {
				return Result{}, err
			}
		}
		a, err := call.Result(ctx)
		if err != nil {
			return Result{}, c.failure(ctx, err)
		}
		accounts = append(accounts, a)
	}
	if s.Measure == Latency {
		return trips(s, accounts)
	}
	return flow(s, accounts)
}

// trips makes a result of the accounts of a caller and a responder.
func trips(s Scenario, accounts []account) (Result, error) {
	a := accounts[0]
	if answered, sent := accounts[1].Count, a.Count+s.warmTrips(); answered != sent {
		return Result{}, fmt.Errorf("%w: %d of %d were answered", ErrVerify, answered, sent)
	}
	r := newResult(s, a.Count, a.End-a.Begin)
	r.P50, r.P90, r.P99, r.P999, r.Max = a.P50, a.P90, a.P99, a.P999, a.Max
	return r, nil
}

// flow makes a result of the accounts of producers and consumers.
func flow(s Scenario, accounts []account) (Result, error) {
	var sent, received, sum, wantSum uint64
	var begin, end int64
	for i, a := range accounts {
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
	if received != sent || sum != wantSum {
		return Result{}, fmt.Errorf("%w: %d were sent, %d received, their numbers differ by %d", ErrVerify, sent, received, int64(sum-wantSum))
	}
	if begin == 0 || end == 0 {
		return Result{}, fmt.Errorf("%w: none began or ended the measured part", ErrVerify)
	}
	return newResult(s, sent-uint64(s.Producers)*s.warmUp(), end-begin), nil
}
