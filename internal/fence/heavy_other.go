//go:build !(linux && (amd64 || 386))

package fence

// Needed is 0: no publisher does without a fence.
const Needed = 0

// Heavy has nothing to do here: all publishers use sequentially consistent
// stores.
func Heavy() bool { return true }
