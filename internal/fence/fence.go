// Package fence makes "publish, then look whether somebody sleeps" cheap for
// the publisher and dear for the one who goes to sleep.
//
// The two sides of the handshake are
//
//	publisher: publish; look at the sleeper's flag   (wake if it is set)
//	sleeper:   set the flag; Heavy; look at what is published   (sleep if nothing)
//
// One of the two must see the other. With sequentially consistent stores both
// sides pay for a full fence, on x86 a locked instruction for each message,
// which also waits until all earlier stores have left the store buffer. Here
// the publisher's store is a plain one, and Heavy asks the kernel for a fence on
// every CPU that runs a publisher (membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED,
// for which each process registers when it first attaches): a publisher's look at the
// flag comes either before that fence, and then so did its publication, which
// the sleeper sees; or after it, and then it sees the flag. Where sleeps follow each
// other, the sleeper asks publishers for fences of their own instead: see wait.Gate.
//
// The plain store is used on amd64 only, whose stores become visible in program
// order (TSO). The gc compiler keeps stores and atomic operations in program
// order, too: each takes the memory state that the one before it made. On
// other architectures, under the race detector, and where the kernel did not
// let the process register, Publish is the atomic store.
//
// A caller that publishes several times asks Ready once and then uses Put.
package fence

import "sync/atomic"

// Publish64 stores v to p: who loads v from p atomically sees every store
// that came before. A later atomic load of the publisher may overtake it,
// except past Heavy in another process.
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
