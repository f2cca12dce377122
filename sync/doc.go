// Package sync provides locks, semaphores, conditions, events, barriers, wait groups and onces that
// processes and goroutines share. Import it as psync ("process-shared"), beside the standard
// library's sync:
//
//	import psync "github.com/seed-2e7ecdea/mp/sync"
//
// A New function makes an object in a segment. Other processes open it by name with an Open
// function, or by its handle: an object that stands in a task's argument travels as its handle, and
// is open when the task starts. A lock or permit belongs to the process that acquired it, not to a
// goroutine: any goroutine of the process may release it. Only an RLock is owned by a value that
// the program makes, a Holder.
//
// A method TryX never blocks. A method X(ctx) blocks until it succeeds or ctx is done; it tries
// once even if ctx is done already. If such a method returns an error, nothing was acquired.
//
// Errors name the operation and the object, and wrap one of the errors below or ctx's error: use
// errors.Is.
//
// # Closed objects
//
// Close ends the use of an object in this process. After that, a method that returns an error
// returns ErrClosed, and a method that returns none panics with an error that wraps ErrClosed. The
// exceptions are Handle, which returns the zero Handle, and Close, which returns nil. The zero
// value of each type is closed, and an object is closed also when its segment is.
//
// # Death
//
// A process may be killed at any instruction. No other process waits for it: the kernel reports its
// death.
//
//	Lock, RLock, writer of RWLock  Acquire returns ErrOwnerDied until Recover has run; with
//	                               IgnoreDeaths, the next Acquire gets the lock
//	reader of RWLock               its hold ends
//	Semaphore                      its permits are lost: permits have no owner
//	BoundedSemaphore               its permits become free
//	Condition, Event               it does not wait any more; a notification that it had got, but not
//	                               used, goes to another waiter
//	Barrier                        the barrier breaks, if the process was in Wait
//	WaitGroup                      if it had counts, Wait returns ErrOwnerDied until Recover has run
//	Once                           if it was in its function, the next Do calls its own function
//
// A process that is stopped (SIGSTOP) is alive: it keeps what it holds.
package sync
