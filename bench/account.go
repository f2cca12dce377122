package bench

// An account is what a process of a run tells at its end.
type account struct {
	Count uint64 // messages, or round trips
	Sum   uint64 // of the numbers received

	// When the measured part began and ended, in nanoseconds since a moment
	// that all processes have in common; 0 if not here.
	Begin, End int64

	P50, P90, P99, P999, Max int64 // of round trips, in nanoseconds
}
