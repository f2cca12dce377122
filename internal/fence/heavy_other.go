//go:build !(linux && (amd64 || 386))

package fence

// Needed is 0: every publisher executes a full fence.
const Needed = 0

// Heavy does nothing and returns true, because all publishers use sequentially consistent stores.
func Heavy() bool { return true }
