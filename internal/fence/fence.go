// Package fence makes "publish, then check whether a peer sleeps" cheap for the publisher, at the
// expense of the peer that goes to sleep.
//
// The two sides of the handshake are
//
//	publisher: P1 store the data
//	           P2 load the sleeper's flag; wake the sleeper if it is set
//	sleeper:   S1 set the flag
//	           S2 Heavy
//	           S3 load the data; sleep if there is none
//
// No wakeup is lost if P2 sees S1 or S3 sees P1. With sequentially consistent stores both sides pay
// for a full fence. On x86 that is a locked instruction for each message, which waits until all
// earlier stores have left the store buffer. Here P1 is a plain store, and Heavy asks the kernel
// for a fence on every CPU that runs a publisher (membarrier with MEMBARRIER_CMD_GLOBAL_EXPEDITED;
// each process registers for it when it first attaches to a segment). If P2 precedes that fence, so
// does P1, and S3 sees the data. If P2 follows the fence, it sees the flag. A sleeper that sleeps
// often asks the publishers to execute fences of their own instead: see wait.Gate.
//
// The plain store is used on amd64 only, for two reasons. The processor makes stores visible in
// program order (TSO). And the gc compiler keeps stores and atomic operations in program order,
// because each takes as an argument the memory state that the previous one produced. Publish is an
// atomic store on other architectures, under the race detector, and where the kernel did not let
// the process register.
//
// A caller that publishes several times calls Ready once and then uses Put, or uses Put for all stores but
// the last.
package fence

import "sync/atomic"

// Publish64 stores v to p. A goroutine that loads v from p atomically sees every store that the
// caller made before. A later atomic load by the caller may be executed before the store is visible
// to other CPUs; Heavy in another process separates the two.
func Publish64(p *atomic.Uint64, v uint64) {
	if Ready() {
		Put64(p, v)
	} else {
		p.Store(v)
	}
}

// Publish32 is Publish64 for 32 bits.
func Publish32(p *atomic.Uint32, v uint32) {
	if Ready() {
		Put32(p, v)
	} else {
		p.Store(v)
	}
}
