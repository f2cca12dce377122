// Package crash numbers the steps of the protocols, so that a test can kill a
// process exactly there.
//
// The points exist only in binaries built with the tag crashpoints; elsewhere
// Enabled is the constant false and every call is compiled away:
//
//	if crash.Enabled {
//		crash.At(crash.QueuePutClaimed)
//	}
//
// In such a binary MP_CRASH=name or name:n in the environment makes the
// process kill itself with SIGKILL when it passes the point for the nth time
// (the first without a number). With stop: before the name it stops itself by
// SIGSTOP instead, and goes on after SIGCONT. MP_CRASH is read once, at the first
// point.
package crash

// A Point is a step of a protocol. The state of shared memory at each is
// described where it is passed.
type Point uint8

const (
	LockTaken          Point = iota // the word names the owner
	LockWaiting                     // the gate says that somebody waits; not asleep yet
	LockWoken                       // woken, not yet taken
	LockFreed                       // the word is free, nobody woken yet
	LockClaimed                     // the word names the heir; not asleep yet
	LockHanded                      // the word names the heir as owner, nobody woken yet
	QueuePutClaimed                 // slot WRITING, tail not moved
	QueuePutHelped                  // slot WRITING, tail moved
	QueuePutCopied                  // message copied, slot WRITING
	QueuePutReady                   // slot READY, nobody woken
	QueuePutWaiting                 // full, the gate says that somebody waits
	QueueGetClaimed                 // slot READING, head not moved
	QueueGetHelped                  // slot READING, head moved
	QueueGetCopied                  // message copied out, slot READING
	QueueGetFreed                   // slot FREE, nobody woken
	QueueGetWaiting                 // empty, the gate says that somebody waits
	PipeSendEntered                 // inside, nothing written
	PipeSendCopied                  // message copied, header still 0
	PipeSendPublished               // header written, tail not moved
	PipeSendMoved                   // tail moved, still inside
	PipeSendLeft                    // outside, nobody woken
	PipeReceiveEntered              // inside
	PipeReceiveCopied               // message copied out, head not moved
	PipeReceiveMoved                // head moved, still inside
	PipeReceiveLeft                 // outside, nobody woken
	SegmentSized                    // file has its size, no header
	SegmentWritten                  // header written, not attached
	SegmentAttached                 // attached, no name yet
	SegmentLinked                   // has its name
	AttachLocked                    // party lock held, line not written
	AttachWritten                   // line written, nobody told
	ObjectClaimed                   // entry MAKING
	ObjectReserved                  // memory reserved and zeroed
	ObjectFilled                    // contents made, entry MAKING
	ObjectReady                     // entry READY, directory lock held
	ObjectRemoving                  // entry REMOVED, space not free yet
	AnnounceDead                    // line says DEAD, nobody told
	AnnounceMoved                   // epoch moved, nobody woken

	ConditionEnqueued   // waits in its place, holds the lock
	ConditionReleased   // the lock is free, not asleep yet
	ConditionWoken      // notified, without the lock
	ConditionReacquired // notified, holds the lock
	ConditionLeft       // cancelled, has no place, without the lock
	ConditionTakenOver  // in the place of one who left a notification, its own not given up
	ConditionHandedOn   // left a notification behind, nobody told
	ConditionNotifying  // notifier holds the lock, nobody notified yet
	ConditionNotified   // a waiter's word says notified, nobody woken

	SemaphoreTaken    // count is one less
	SemaphoreWaiting  // the gate of any semaphore says that somebody waits; not asleep yet
	SemaphoreWoken    // woken, a permit is there, not yet taken
	SemaphoreReleased // count is more, nobody woken yet
	BoundedTaken      // the permit names the holder
	BoundedFreed      // the permit is free, nobody woken yet
	EventSet          // set, nobody woken yet
	EventWaiting      // the gate says that somebody waits; not asleep yet
	EventWoken        // woken, the set seen
	OnceRun           // has the lock, f not called yet
	OnceRan           // f has succeeded, not noted
	OnceDone          // noted, the lock still held
	ValueUpdating     // f has run, nothing is published
	ValueStored       // the word is stored, nobody woken
	ValueWriting      // writers' lock held, half of the next copy written
	ValueCopied       // the next copy is whole, the number not moved
	ValuePublished    // number moved, writers' lock held
	ValueReleased     // writers' lock free, nobody woken

	BarrierSeated    // seat taken, nothing looked at
	BarrierFull      // all seats seen taken, round open
	BarrierActing    // round ACTING, action not run
	BarrierActed     // action run, round ACTING
	BarrierPassed    // next round open, nobody woken
	BarrierBroke     // round BROKEN, nobody woken
	BarrierLeft      // seat free, nobody woken
	BarrierReset     // next round open, those of the last have not passed, nobody woken
	BarrierWaiting   // seated, the gate says that somebody waits
	RWLockJoined     // reader counted, phase not looked at again
	RWLockQueued     // reader queued behind a writer, the gate says that somebody waits
	RWLockLeft       // reader not counted any more, nobody woken
	RWLockOwned      // writers' word taken, phase FREE
	RWLockWanted     // phase WANTED, readers may be inside
	RWLockDraining   // phase WANTED, the gate says that the writer waits
	RWLockWriting    // phase WRITING
	RWLockFreed      // phase FREE, nobody woken, writers' word held
	RWLockTold       // readers woken, writers' word held
	WaitGroupLogged  // change in the log, nothing done
	WaitGroupHalf    // first share written
	WaitGroupApplied // shares written, total as it was
	WaitGroupCounted // total written, log not empty
	WaitGroupCleared // log empty, nobody woken
	WaitGroupWaiting // the gate says that somebody waits
	numPoints
)

var names = [numPoints]string{
	"LockTaken", "LockWaiting", "LockWoken", "LockFreed", "LockClaimed", "LockHanded",
	"QueuePutClaimed", "QueuePutHelped", "QueuePutCopied", "QueuePutReady", "QueuePutWaiting",
	"QueueGetClaimed", "QueueGetHelped", "QueueGetCopied", "QueueGetFreed", "QueueGetWaiting",
	"PipeSendEntered", "PipeSendCopied", "PipeSendPublished", "PipeSendMoved", "PipeSendLeft",
	"PipeReceiveEntered", "PipeReceiveCopied", "PipeReceiveMoved", "PipeReceiveLeft",
	"SegmentSized", "SegmentWritten", "SegmentAttached", "SegmentLinked",
	"AttachLocked", "AttachWritten",
	"ObjectClaimed", "ObjectReserved", "ObjectFilled", "ObjectReady", "ObjectRemoving",
	"AnnounceDead", "AnnounceMoved",
	"ConditionEnqueued", "ConditionReleased", "ConditionWoken", "ConditionReacquired", "ConditionLeft",
	"ConditionTakenOver", "ConditionHandedOn", "ConditionNotifying", "ConditionNotified",
	"SemaphoreTaken", "SemaphoreWaiting", "SemaphoreWoken", "SemaphoreReleased", "BoundedTaken", "BoundedFreed",
	"EventSet", "EventWaiting", "EventWoken", "OnceRun", "OnceRan", "OnceDone",
	"ValueUpdating", "ValueStored", "ValueWriting", "ValueCopied", "ValuePublished", "ValueReleased",
	"BarrierSeated", "BarrierFull", "BarrierActing", "BarrierActed", "BarrierPassed", "BarrierBroke", "BarrierLeft", "BarrierReset", "BarrierWaiting",
	"RWLockJoined", "RWLockQueued", "RWLockLeft", "RWLockOwned", "RWLockWanted", "RWLockDraining", "RWLockWriting", "RWLockFreed", "RWLockTold",
	"WaitGroupLogged", "WaitGroupHalf", "WaitGroupApplied", "WaitGroupCounted", "WaitGroupCleared", "WaitGroupWaiting",
}

// Env is the environment variable that names the point to die at, and Stop what
// comes before the name of a point to stop at.
const (
	Env  = "MP_CRASH"
	Stop = "stop:"
)

func (p Point) String() string { return names[p] }

// Points calls yield for every point from first to last.
func Points(first, last Point) func(yield func(Point) bool) {
	return func(yield func(Point) bool) {
		for p := first; p <= last; p++ {
			if !yield(p) {
				return
			}
		}
	}
}
