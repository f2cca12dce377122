package sync

// Options are the options of a lock. Nil means all defaults.
type Options struct {
	// IgnoreDeaths treats the death of the owner as a Release: the next Acquire gets the lock, and
	// never returns ErrOwnerDied. It is for data that is consistent at every moment.
	IgnoreDeaths bool
}
