package sync

// Options are the choices at making an object. Nil means all defaults.
type Options struct {
	// IgnoreDeaths lets the next taker have the lock of an owner that died,
	// as if the owner had released it: for data that is whole at each moment.
	IgnoreDeaths bool
}
