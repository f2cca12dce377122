//go:build !(linux && (amd64 || 386))

package fence

// Heavy has nothing to do here: all publishers use sequentially consistent
// stores.
func Heavy() bool { return true }
