package bench

import "github.com/seed-2e7ecdea/mp/shm"

// A Result holds what a run has measured.
type Result struct {
	Transport string `json:"transport"`
	Measure   string `json:"measure"`
	Size      int    `json:"size"` // bytes
	Producers int    `json:"producers"`
	Consumers int    `json:"consumers"`

	// Wait is how the transport waited. The kernel's transports always block.
	Wait shm.WaitPolicy `json:"wait"`
	Pin  []int          `json:"pin,omitempty"` // CPUs

	Messages    uint64  `json:"messages"`      // measured messages, or round trips
	Seconds     float64 `json:"seconds"`       // how long they took
	MsgsPerSec  float64 `json:"msgs_per_sec"`  // Messages / Seconds
	BytesPerSec float64 `json:"bytes_per_sec"` // MsgsPerSec * Size: a round trip counts one way

	// LoadsPerSec is how often the consumer loaded in a second, for Throughput of value, whether the value was new or not.
	LoadsPerSec float64 `json:"loads_per_sec,omitempty"`

	Batch   int    `json:"batch,omitempty"`   // as in the Scenario; 0 means 1
	Content string `json:"content,omitempty"` // as in the Scenario

	// Rate is how many messages fell due in a second, for Paced. MsgsPerSec is less if the transport could not keep up.
	Rate int `json:"rate,omitempty"`

	// Percentiles and maximum of the round trips, of the time from when a message was due to its arrival, or from a
	// death to the recovery, in nanoseconds; 0 for Throughput and Idle.
	P50  int64 `json:"p50_ns"`
	P90  int64 `json:"p90_ns,omitempty"`
	P99  int64 `json:"p99_ns"`
	P999 int64 `json:"p999_ns,omitempty"`
	Max  int64 `json:"max_ns,omitempty"`

	// CPU is the CPU time that all processes of the run together used for each message or round trip, in
	// nanoseconds. The warm-up counts, too. For Idle it is the CPU time of the consumer for each second of waiting.
	CPU float64 `json:"cpu_ns"`

	// Switches is how many context switches the threads of all processes of the run together had for each message or
	// round trip. The warm-up counts, too. For Idle it is those of the consumer for each second of waiting.
	Switches float64 `json:"switches"`

	// Limits are those of the machine in the same round: see SetLimits. 0 if they were not measured.
	Limits
	// OfLimit is the result as a fraction of its limit: 1 is as fast as the machine. For Latency it is the limit's round
	// trip, by the result's median: that of a futex if the transport blocks, and of a cache line otherwise. It is more
	// than 1 for a transport that blocks if the system runs both processes on one CPU. For Throughput
	// it is the bytes per second, by those of Copy; it may be more than 1 for messages that are not copied. 0 if there is
	// no limit, as for the start of processes.
	OfLimit float64 `json:"of_limit,omitempty"`

	// Verified reports whether every message was checked. It is always true: a run
	// that finds a wrong message returns ErrVerify and no result.
	Verified bool `json:"verified"`
}

// Figure returns the number by which trials of a scenario are compared: messages per second (more is
// better) for Throughput, the CPU time for each second in nanoseconds (less is better) for Idle, or the median time in
// nanoseconds (less is better).
func (r Result) Figure() float64 {
	switch r.Measure {
	case Throughput:
		return r.MsgsPerSec
	case Idle:
		return r.CPU
	}
	return float64(r.P50)
}

// SetLimits enters the limits that were measured in the same round.
func (r *Result) SetLimits(l Limits) {
	r.Limits = l
	r.OfLimit = r.ofLimit()
}

func (r *Result) ofLimit() float64 {
	t := findTransport(r.Transport)
	switch {
	case t.alone:
	case r.Measure == Latency && r.P50 > 0 && r.Wait == shm.WaitBlock:
		return r.Futex / float64(r.P50)
	case r.Measure == Latency && r.P50 > 0:
		return r.Line / float64(r.P50)
	case r.Measure == Throughput && r.Copy > 0:
		return r.BytesPerSec / r.Copy
	}
	return 0
}

// Scenario returns what was measured, without its Duration and Messages.
func (r Result) Scenario() Scenario {
	return Scenario{
		Transport: r.Transport, Measure: r.Measure, Size: r.Size, Producers: r.Producers, Consumers: r.Consumers,
		Wait: r.Wait, Pin: r.Pin, Rate: r.Rate, Batch: r.Batch, Content: r.Content,
	}
}

// percentiles enters those of a summary.
func (r *Result) percentiles(a summary) {
	r.P50, r.P90, r.P99, r.P999, r.Max = a.P50, a.P90, a.P99, a.P999, a.Max
}

func newResult(s Scenario, messages uint64, ns int64) Result {
	r := Result{
		Transport: s.Transport, Measure: s.Measure, Size: s.Size, Producers: s.Producers, Consumers: s.Consumers,
		Wait: s.Wait, Pin: s.Pin, Rate: s.Rate, Content: s.Content, Messages: messages, Verified: true,
	}
	if s.Batch > 1 {
		r.Batch = s.Batch
	}
	if t := findTransport(s.Transport); t.kernel || t.python {
		r.Wait = shm.WaitBlock
	}
	r.Seconds = float64(max(ns, 1)) / 1e9
	r.MsgsPerSec = float64(messages) / r.Seconds
	r.BytesPerSec = r.MsgsPerSec * float64(s.Size)
	return r
}
