package bench

import "github.com/seed-2e7ecdea/mp/internal/sys"

// A summary is what a process of a run reports when it has finished.
type summary struct {
	Role  role
	Count uint64 // messages, or round trips
	Sum   uint64 // sum of the numbers of the messages received

	// For a transport that keeps the latest message only: the number of the last message received, and how often the process
	// looked.
	Last, Loads uint64

	// When the measured part of the run began and ended, in nanoseconds of a
	// clock that all processes share. 0 if it did not begin or end here.
	Begin, End int64

	Usage sys.Usage // of the process while it sent and received

	P50, P90, P99, P999, Max int64 // of the round trips, in nanoseconds
}
