// Package crash lets a test kill a process at a chosen step of a protocol.
//
// Each such step is a Point. The points exist only in binaries built with the tag crashpoints. In all others,
// Enabled is the constant false, and the compiler removes every call:
//
//	if crash.Enabled {
//		crash.At(crash.QueuePutClaimed)
//	}
//
// In a binary with crash points, a process reads MP_CRASH from its environment when it first passes a point. If it is
// "name" or "name:n", the process kills itself with SIGKILL when it passes the point of that name for the first, or
// for the nth, time. With "stop:" before the name the process stops itself by SIGSTOP instead, and
// goes on after SIGCONT.
package crash

// A Point is a step of a protocol. The comment of each says what is in shared memory when a process passes it.
type Point uint8

const (
	LockTaken            Point = iota // the word names the owner
	LockWaiting                       // the gate says that there is a waiter; it does not sleep yet
	LockWoken                         // the waiter was woken, and does not hold the lock yet
	LockFreed                         // the word is free; no waiter is woken yet
	LockClaimed                       // the word names the heir, a waiter to which the lock will be handed over; it does not sleep yet
	LockHanded                        // the word names the heir as the owner; the heir is not woken yet
	QueuePutClaimed                   // slot WRITING; tail not advanced
	QueuePutHelped                    // slot WRITING; tail advanced
	QueuePutCopied                    // slot WRITING; message copied
	QueuePutReady                     // slot READY; no getter is woken yet
	QueuePutWaiting                   // queue full; the gate says that there is a waiter
	QueueGetClaimed                   // slot READING; head not advanced
	QueueGetHelped                    // slot READING; head advanced
	QueueGetCopied                    // slot READING; message copied out
	QueueGetFreed                     // slot FREE; no putter is woken yet
	QueueGetWaiting                   // queue empty; the gate says that there is a waiter
	QueuePutSkipped                   // a slot that is leased or returned is in the next lap; no slot is claimed
	QueueGetAdopted                   // slot READING or LEASED, taken over from a dead getter or from a lease that was returned
	QueueSlotAborted                  // slot FREE; no getter or putter is woken yet
	QueueLeaseDone                    // slot FREE; no putter is woken yet
	QueueLeaseReturned                // slot RETURNED; front not moved
	QueueJoinWaiting                  // the gate says that there is a joiner
	QueueStorageReserved              // blocks have memory; that is not recorded yet
	QueueStorageTaken                 // a block is marked; slot WRITING
	QueueStorageGiven                 // a block is free, others are stale; slot FREE
	QueueLeaseTold                    // slot RETURNED; front moved; no getter is woken yet
	QueueSpanUndone                   // a slot of a dead process's span is FREE or RETURNED; the first one says that the span is claimed
	PipeSendEntered                   // the sender holds its end; nothing is written
	PipeSendCopied                    // message copied; header still 0
	PipeSendPublished                 // header written; tail not advanced
	PipeSendMoved                     // tail advanced; the sender still holds its end
	PipeSendLeft                      // the end is free; no receiver is woken yet
	PipeReceiveEntered                // the receiver holds its end
	PipeReceiveCopied                 // message copied out; head not advanced
	PipeReceiveMoved                  // head advanced; the receiver still holds its end
	PipeReceiveLeft                   // the end is free; no sender is woken yet
	PipePieceCopied                   // piece of a long message copied; header still 0
	PipePiecePublished                // header written; tail not advanced
	PipePieceMoved                    // tail advanced; no receiver is woken yet
	PipeAborted                       // the rest of a long message will not be sent, and the header says so; tail not advanced
	PipeTailBack                      // tail moved back to a long message that may be claimed by now
	PipeTakenBack                     // no receiver has claimed the long message, and none will
	PipeClaimed                       // a receiver has claimed the long message; no piece is taken yet
	PipePieceTaken                    // piece copied out; head not advanced
	PipePieceFreed                    // head advanced; no sender is woken yet
	PipeAgain                         // the receiver has asked for the message from the start; it still holds its end
	SegmentSized                      // the file has its size, and no header
	SegmentWritten                    // header written; not attached
	SegmentAttached                   // attached; the file has no name yet
	SegmentLinked                     // the file has its name
	AttachLocked                      // lock of the party held; its line is not written
	AttachWritten                     // line written; no other party is told yet
	ObjectClaimed                     // entry MAKING
	ObjectAllocated                   // entry MAKING; the cursor is advanced
	ObjectReserved                    // entry MAKING; memory reserved and zeroed
	ObjectFilled                      // entry MAKING; contents written
	ObjectIndexed                     // entry MAKING; the index knows the name
	ObjectReady                       // entry READY; directory lock held
	ObjectRemoving                    // entry REMOVED; its memory is not free yet
	ObjectFreed                       // entry REMOVED or MAKING; its memory is given back
	IndexRebuilding                   // seq is odd; the index is as before
	RecycleBegun                      // there is no run; the gap is not requested any more
	RecycleMoved                      // cursor of the next run; no limit yet
	RunPlaced                         // cursor of the first run; no limit yet
	AnnounceDead                      // the line says DEAD; no party is told yet
	AnnounceMoved                     // epoch advanced; no waiter is woken yet

	ConditionEnqueued   // the waiter is in its slot, and holds the lock
	ConditionReleased   // the lock is free; the waiter does not sleep yet
	ConditionWoken      // the waiter was notified, and does not hold the lock
	ConditionReacquired // the waiter was notified, and holds the lock
	ConditionLeft       // the wait was cancelled: the waiter has no slot and does not hold the lock
	ConditionTakenOver  // the waiter is in the slot of one that left a notification behind, and still in its own
	ConditionHandedOn   // the waiter left a notification behind; no other waiter is told yet
	ConditionNotifying  // the notifier holds the lock; no waiter is notified yet
	ConditionNotified   // the word of a waiter says that it is notified; it is not woken yet

	SemaphoreTaken    // the count is one less
	SemaphoreWaiting  // the gate of any semaphore says that there is a waiter; it does not sleep yet
	SemaphoreWoken    // the waiter was woken; there is a permit, which it has not taken yet
	SemaphoreReleased // the count is more; no waiter is woken yet
	BoundedTaken      // the permit names its holder
	BoundedFreed      // the permit is free; no waiter is woken yet
	EventSet          // the event is set; no waiter is woken yet
	EventWaiting      // the gate says that there is a waiter; it does not sleep yet
	EventWoken        // the waiter was woken, and saw the set
	OnceRun           // the lock is held; f is not called yet
	OnceRan           // f has succeeded; that is not recorded yet
	OnceDone          // the success is recorded; the lock is still held
	ValueUpdating     // f has returned; nothing is published
	ValueStored       // the word is stored; no waiter is woken yet
	ValueWriting      // lock of the writers held; half of the next copy is written
	ValueCopied       // the next copy is complete; the word still names the copy before it
	ValuePublished    // the word names the new copy; lock of the writers held
	ValueReleased     // lock of the writers free; no waiter is woken yet

	BarrierSeated    // slot taken; the other slots are not looked at yet
	BarrierFull      // all slots are taken; the round is OPEN
	BarrierActing    // the round is ACTING; the action has not run
	BarrierActed     // the round is ACTING; the action has run
	BarrierPassed    // the next round is OPEN; no waiter is woken yet
	BarrierBroke     // the round is BROKEN; no waiter is woken yet
	BarrierLeft      // slot free; no waiter is woken yet
	BarrierReset     // the next round is OPEN; the parties of the last one have not passed, and no waiter is woken yet
	BarrierWaiting   // slot taken; the gate says that there is a waiter
	RWLockJoined     // the reader is counted; it has not read the phase again
	RWLockQueued     // the reader is counted as one behind a writer; the gate says that there is a waiter
	RWLockLeft       // the reader is not counted any more; no waiter is woken yet
	RWLockOwned      // the writers' word is taken; phase FREE
	RWLockWanted     // phase WANTED; readers may hold the lock
	RWLockDraining   // phase WANTED; the gate says that the writer waits
	RWLockWriting    // phase WRITING
	RWLockFreed      // phase FREE; the writers' word is held; no waiter is woken yet
	RWLockTold       // the readers are woken; the writers' word is held
	WaitGroupLogged  // the change is in the log, and not applied
	WaitGroupHalf    // the first share is written
	WaitGroupApplied // the shares are written; the total is as before
	WaitGroupCounted // the total is written; the log is not empty
	WaitGroupCleared // the log is empty; no waiter is woken yet
	WaitGroupWaiting // the gate says that there is a waiter
	StartBorn        // the child exists, its parent does not await it yet
	StartAwaited     // the child is awaited
	StartAccepted    // the child's connection is taken, nothing was sent
	StartSent        // the files were sent, the parent's descriptors of the parties are open
	StartReleased    // these are closed, the request was not sent
	InitConnected    // the child is connected, nothing was received
	InitReceived     // the child has its files, and is attached to no segment
	InitAdopted      // the child is attached, its task does not run yet

	BroadcastClaimed        // slot WRITING; tail not advanced
	BroadcastHelped         // slot WRITING; tail advanced
	BroadcastCopied         // slot WRITING; message copied
	BroadcastReady          // slot READY; no subscriber is woken yet
	BroadcastPublishWaiting // full; the gate says that there is a publisher; it does not sleep yet
	SubscriberJoined        // the line names its owner; its cursor is that of the owner before
	SubscriberPlaced        // the cursor is where the subscriber begins
	SubscriberCopied        // message copied out; cursor not moved
	SubscriberMoved         // cursor moved; no publisher is woken yet
	SubscriberWaiting       // empty; the gate says that there is a subscriber; it does not sleep yet
	SubscriberLeft          // the line is free; no publisher is woken yet
	BroadcastEvicted        // oldest moved; the blocks of the messages before it are stale

	SpareParked   // the spare has said that it waits
	SpareReceived // the spare has the files of a task, and its parent does not know
	SpareTaken    // its parent may know; the request was not read
	SpareSent     // the parent has sent a spare its files
	SpareStarted  // the parent knows that the spare has them, its descriptors of the parties are open

	UpgradeMade     // the side that accepted has made the memory; nothing was sent
	UpgradeOffered  // the file of the party is sent, and this side still has it, too
	UpgradeReleased // only the other side has it, or it is on its way
	UpgradeAnswered // the side that accepted has the answer; its socket is open
	UpgradeReceived // the side that dialed has the file of the party, and is not attached
	UpgradeAdopted  // it is the party; its pipe is not open
	UpgradeOpened   // its pipe is open; the answer was not sent
	UpgradeTaken    // the answer was sent; its socket is open
	numPoints
)

var names = [numPoints]string{
	"LockTaken", "LockWaiting", "LockWoken", "LockFreed", "LockClaimed", "LockHanded",
	"QueuePutClaimed", "QueuePutHelped", "QueuePutCopied", "QueuePutReady", "QueuePutWaiting",
	"QueueGetClaimed", "QueueGetHelped", "QueueGetCopied", "QueueGetFreed", "QueueGetWaiting",
	"QueuePutSkipped", "QueueGetAdopted", "QueueSlotAborted", "QueueLeaseDone", "QueueLeaseReturned", "QueueJoinWaiting",
	"QueueStorageReserved", "QueueStorageTaken", "QueueStorageGiven", "QueueLeaseTold", "QueueSpanUndone",
	"PipeSendEntered", "PipeSendCopied", "PipeSendPublished", "PipeSendMoved", "PipeSendLeft",
	"PipeReceiveEntered", "PipeReceiveCopied", "PipeReceiveMoved", "PipeReceiveLeft",
	"PipePieceCopied", "PipePiecePublished", "PipePieceMoved", "PipeAborted",
	"PipeTailBack", "PipeTakenBack", "PipeClaimed", "PipePieceTaken", "PipePieceFreed", "PipeAgain",
	"SegmentSized", "SegmentWritten", "SegmentAttached", "SegmentLinked",
	"AttachLocked", "AttachWritten",
	"ObjectClaimed", "ObjectAllocated", "ObjectReserved", "ObjectFilled", "ObjectIndexed", "ObjectReady", "ObjectRemoving",
	"ObjectFreed", "IndexRebuilding", "RecycleBegun", "RecycleMoved", "RunPlaced",
	"AnnounceDead", "AnnounceMoved",
	"ConditionEnqueued", "ConditionReleased", "ConditionWoken", "ConditionReacquired", "ConditionLeft",
	"ConditionTakenOver", "ConditionHandedOn", "ConditionNotifying", "ConditionNotified",
	"SemaphoreTaken", "SemaphoreWaiting", "SemaphoreWoken", "SemaphoreReleased", "BoundedTaken", "BoundedFreed",
	"EventSet", "EventWaiting", "EventWoken", "OnceRun", "OnceRan", "OnceDone",
	"ValueUpdating", "ValueStored", "ValueWriting", "ValueCopied", "ValuePublished", "ValueReleased",
	"BarrierSeated", "BarrierFull", "BarrierActing", "BarrierActed", "BarrierPassed", "BarrierBroke", "BarrierLeft", "BarrierReset", "BarrierWaiting",
	"RWLockJoined", "RWLockQueued", "RWLockLeft", "RWLockOwned", "RWLockWanted", "RWLockDraining", "RWLockWriting", "RWLockFreed", "RWLockTold",
	"WaitGroupLogged", "WaitGroupHalf", "WaitGroupApplied", "WaitGroupCounted", "WaitGroupCleared", "WaitGroupWaiting",
	"StartBorn", "StartAwaited", "StartAccepted", "StartSent", "StartReleased",
	"InitConnected", "InitReceived", "InitAdopted",
	"BroadcastClaimed", "BroadcastHelped", "BroadcastCopied", "BroadcastReady", "BroadcastPublishWaiting",
	"SubscriberJoined", "SubscriberPlaced", "SubscriberCopied", "SubscriberMoved", "SubscriberWaiting", "SubscriberLeft", "BroadcastEvicted",
	"SpareParked", "SpareReceived", "SpareTaken", "SpareSent", "SpareStarted",
	"UpgradeMade", "UpgradeOffered", "UpgradeReleased", "UpgradeAnswered",
	"UpgradeReceived", "UpgradeAdopted", "UpgradeOpened", "UpgradeTaken",
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
