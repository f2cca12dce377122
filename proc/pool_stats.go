package proc

import "maps"

// PoolStats says what a pool has done so far.
type PoolStats struct {
	Workers   int // worker processes that are running or being started
	Waiting   int // calls that no worker has
	Running   int // calls that were given to workers and are not answered yet
	Submitted int // calls ever
	Done      int // calls that a worker answered, with a result or an error
	Failed    int // calls that were lost with their worker, or whose time was over
	Retried   int // calls that were run again after their worker was lost
	Started   int // workers that were started in place of others
	Replaced  int // workers that ended after PoolOptions.MaxTasks

	// Lost counts the workers that ended for other reasons, by the reason: "signal 9 (killed)",
	// "exit code 3", "crash", "out of memory", "not started", or "timeout" and "stopped" for a
	// task that did not return when its context ended.
	Lost map[string]int
}

// stats implements engine.
func (p *crew) snapshot() PoolStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	s.Lost = maps.Clone(s.Lost)
	s.Workers = len(p.workers)
	for _, b := range p.pending.list {
		s.Waiting += b.n
	}
	for _, w := range p.workers {
		for _, b := range w.own.list {
			s.Waiting += b.n
		}
		for _, b := range w.has.list {
			s.Running += b.n - int(b.next.Load())
		}
	}
	return s
}
