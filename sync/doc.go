// Package sync holds locks, semaphores, conditions, events and barriers that
// processes and goroutines share. It is imported as psync, process-shared, beside
// the standard library's sync:
//
//	import psync "github.com/seed-2e7ecdea/mp/sync"
//
// An object is made in a segment by New and opened in other processes by Open,
// or by its handle, which travels by itself when the object stands in a task's
// argument. Objects belong to the process, not to a goroutine: any goroutine of
// the process that acquired a lock may release it. Only an RLock asks for more: its
// owner is a Holder.
//
// TryX never waits. X(ctx) waits until ctx ends, and tries once even if ctx has
// ended already. An error means that nothing was acquired.
//
// # Death
//
// Nobody waits on the dead: a process may be killed at any instruction, and
// those who wait for it learn so from the kernel.
//
//	Lock, RLock, RWLock's writer   ErrOwnerDied for all until Recover; with IgnoreDeaths the next has it
//	RWLock's reader                its share is dropped
//	Semaphore                      its permit is gone: permits are anonymous
//	BoundedSemaphore               its permits come back
//	Condition, Event               a dead waiter counts for nothing; a notification that it had
//	                               been given goes to another
//	Barrier                        broken, if it died while it waited there
//	WaitGroup                      ErrOwnerDied for those who wait, if it had counts, until Recover
//	Once                           if it died in its function, the next runs its own
//
// A process that is stopped (SIGSTOP) is alive: what it holds stays held.
package sync
