// Package sync holds locks that processes share. It is imported as psync,
// process-shared, beside the standard library's sync:
//
//	import psync "github.com/seed-2e7ecdea/mp/sync"
//
// Nobody waits on the dead: when a process that holds a lock is killed, its
// waiters learn so from the kernel.
package sync
