//go:build linux && (amd64 || 386)

package fence

import "github.com/seed-2e7ecdea/mp/internal/sys"

// Needed is 1 where publishers may omit their fence, else 0.
const Needed = 1

// Heavy puts a full fence between the caller's accesses before and after it, and one between two
// accesses of each publisher. It reports whether it succeeded. If it did not, the caller may miss a
// publication for as long as a store buffer holds it, and must bound its sleep.
//
// A 32-bit process needs Heavy too: its own publishers execute their fences, but those of 64-bit
// processes that share its memory may not.
func Heavy() bool { return sys.Barrier() }
