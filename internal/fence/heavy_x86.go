//go:build linux && (amd64 || 386)

package fence

import "github.com/seed-2e7ecdea/mp/internal/sys"

// Needed is 1 where publishers may do without a fence, else 0.
const Needed = 1

// Heavy puts a full fence between what its caller did before and after it,
// and between any two accesses of a publisher. It tells whether it could; if
// not, its caller may miss a publication for as long as a store buffer holds
// it, and must not sleep without a bound. A process of 32 bits, whose own
// stores are never light, may have publishers of 64 bits.
func Heavy() bool { return sys.Barrier() }
