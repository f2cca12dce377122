package litmus

// A handshake is a place where mp relies on the order of accesses: two or more sides, and outcomes that
// must not happen.
type handshake struct {
	name      string
	shape     string // the usual name of a litmus test of this form
	sides     []side
	forbidden []string // outcomes
	says      string   // what would be wrong
}

// A side is what one thread does.
type side struct {
	code []string // functions, as the file, a colon, the receiver's type and the method
	ops  []op
}

func of(code ...string) side               { return side{code: code} }
func (s side) does(ops ...op) side         { s.ops = ops; return s }
func (h handshake) program() (p program)   { p.threads = mapSlice(h.sides, side.operations); return p }
func (s side) operations() []op            { return s.ops }
func sidesOf(s ...side) []side             { return s }
func never(outcomes ...string) []string    { return outcomes }
func kernelEnds() op                       { return opRelease("exit", 1) }
func kernelReports(reg string) (o []op)    { return []op{opAcquire("exit", reg), opIs(reg, 1)} }
func then(first []op, rest ...op) (o []op) { return append(append(o, first...), rest...) }

// handshakes are all that mp relies on. All words are 0 at first. A word that has several states has
// them as numbers in the order in which it takes them. Two words of data stand for a message of any
// length. exit stands for what the kernel does when a process dies: it releases the locks of its party,
// and an announcer gets them.
var handshakes = []handshake{
	// The fence on the sleeper's side.
	{
		"gate: publish and sleep", "SB", sidesOf(
			of("internal/fence/fence.go:Publish64", "internal/wait/gate.go:Gate.Notify").does(
				opPut("data", 1), opLoad("gate", "a")),
			of("internal/wait/gate.go:Gate.Arm", "internal/wait/gate.go:Armed.fence").does(
				opClaim("gate", 0, 1), opHeavy(), opLoad("data", "b")),
		),
		never("a=0 b=0"), "The publisher sees no sleeper, and the sleeper no data.",
	},
	{
		"gate: F, the publisher's fence", "SB", sidesOf(
			of("internal/fence/fence.go:Publish64", "internal/wait/gate.go:Gate.notify").does(
				opPut("data", 1), opFenceAdd("quiet", 1), opLoad("gate", "a")),
			of("internal/wait/gate.go:Gate.Arm").does(
				opClaim("gate", 0, 1), opLoad("data", "b")),
		),
		never("a=0 b=0"), "F and D are set from before. The publisher sees no sleeper, and the sleeper no data.",
	},
	{
		"gate: D, a fence of before", "RWC", sidesOf(
			of("internal/fence/fence.go:Publish64", "internal/wait/gate.go:Gate.Notify").does(
				opPut("data", 1), opLoad("gate", "a")),
			of("internal/wait/gate.go:Gate.Arm", "internal/wait/gate.go:Armed.fence").does(
				opClaim("gate", 0, 1), opHeavy(), opClaim("gate", 1, 2)),
			of("internal/wait/gate.go:Gate.Arm", "internal/wait/gate.go:Armed.fence").does(
				opLoad("gate", "d"), opIs("d", 2), opLoad("data", "b")),
		),
		never("a=0 d=2 b=0"), "A second sleeper trusts D, sees no data, and the publisher did not see F.",
	},
	{
		"epoch: a death is seen", "MP", sidesOf(
			of("internal/party/table.go:Table.announce", "internal/party/table.go:Table.move").does(
				opStore("line", 1), opAdd("epoch", 1)),
			of("internal/wait/await.go:attempt.sleepOnce", "internal/party/table.go:Table.Dead").does(
				opLoad("epoch", "a"), opIs("a", 1), opLoad("line", "b")),
		),
		never("b=0"), "A waiter has the new epoch to sleep on, and takes the dead party for alive.",
	},

	// The robust lock.
	{
		"lock: what the owner wrote", "MP", sidesOf(
			of("internal/robust/mutex.go:Mutex.Release").does(
				opWrite("data", 1), opWrite("data2", 1), opPut("word", 1)),
			of("internal/robust/mutex.go:Mutex.TryAcquire").does(
				opClaim("word", 1, 2), opRead("data", "a"), opRead("data2", "b")),
		),
		never("a=0", "b=0"), "The next owner reads what was there before.",
	},
	{
		"lock: what the owner read", "LB", sidesOf(
			of("internal/robust/mutex.go:Mutex.Release").does(
				opRead("data", "a"), opPut("word", 1)),
			of("internal/robust/mutex.go:Mutex.TryAcquire").does(
				opClaim("word", 1, 2), opWrite("data", 1)),
		),
		never("a=1"), "The owner reads what the next one writes.",
	},
	{
		"lock: hand-over", "MP", sidesOf(
			of("internal/robust/mutex.go:Mutex.releaseSlow").does(
				opWrite("data", 1), opClaim("word", 0, 1)),
			of("internal/robust/mutex.go:acquirer.Try").does(
				opLoad("word", "w"), opIs("w", 1), opClaim("word", 1, 2), opRead("data", "a")),
		),
		never("a=0"), "The heir reads what was there before.",
	},
	{
		"lock: a dead owner", "ISA2", sidesOf(
			of("internal/robust/mutex.go:Mutex.TryAcquire").does(
				opClaim("word", 0, 1), opWrite("data", 1), opWrite("data2", 1), kernelEnds()),
			of("internal/party/table.go:Table.announce").does(then(
				kernelReports("x"), opStore("line", 1))...),
			of("internal/robust/mutex.go:Mutex.TryTakeOver").does(
				opLoad("line", "l"), opIs("l", 1), opClaim("word", 1, 2), opRead("data", "a"), opRead("data2", "b")),
		),
		never("a=0", "b=0"), "Recover does not see all that the dead owner wrote.",
	},
	{
		"lock: released, then dead", "ISA2", sidesOf(
			of("internal/robust/mutex.go:Mutex.Release").does(
				opPut("word", 1), kernelEnds()),
			of("internal/party/table.go:Table.announce").does(then(
				kernelReports("x"), opStore("line", 1))...),
			of("internal/robust/mutex.go:Mutex.died").does(
				opLoad("line", "l"), opIs("l", 1), opLoad("word", "w")),
		),
		never("w=0"), "A lock that its owner released before it died has a dead owner.",
	},

	// The queue. The states of a slot follow each other: writing, ready, reading, free.
	{
		"queue: a message", "MP", sidesOf(
			of("ring/queue_core.go:queueCore.claimFree", "ring/queue.go:Queue.Put", "ring/queue_core.go:queueCore.publish").does(
				opClaim("slot", 0, 1), opWrite("data", 1), opWrite("data2", 1), opPut("slot", 2)),
			of("ring/queue_core.go:queueCore.claimReady", "ring/queue_core.go:queueCore.get").does(
				opClaim("slot", 2, 3), opRead("data", "a"), opRead("data2", "b")),
		),
		never("a=0", "b=0"), "A getter reads bytes from before the message.",
	},
	{
		"queue: a slot is used again", "LB", sidesOf(
			of("ring/queue_core.go:queueCore.get", "ring/queue_core.go:queueCore.release").does(
				opRead("data", "a"), opPut("slot", 1)),
			of("ring/queue_core.go:queueCore.claimFree", "ring/queue.go:Queue.Put").does(
				opClaim("slot", 1, 2), opWrite("data", 1)),
		),
		never("a=1"), "A getter reads bytes of the next message.",
	},
	{
		"queue: two laps", "ISA2", sidesOf(
			of("ring/queue.go:Queue.Put", "ring/queue_core.go:queueCore.publish").does(
				opWrite("data", 1), opPut("slot", 1)),
			of("ring/queue_core.go:queueCore.claimReady", "ring/queue_core.go:queueCore.release").does(
				opClaim("slot", 1, 2), opRead("data", "a"), opPut("slot", 3)),
			of("ring/queue_core.go:queueCore.claimFree", "ring/queue_core.go:queueCore.publish").does(
				opClaim("slot", 3, 4), opWrite("data", 2), opPut("slot", 5)),
			of("ring/queue_core.go:queueCore.claimReady").does(
				opClaim("slot", 5, 6), opRead("data", "b")),
		),
		never("a=0", "a=2", "b=0", "b=1"), "One of two getters has the message of the other lap, or none.",
	},
	{
		"queue: a dead putter", "Z6", sidesOf(
			of("ring/queue_core.go:queueCore.claimFree", "ring/queue.go:Queue.Put").does(
				opClaim("slot", 0, 1), opWrite("data", 1), kernelEnds()),
			of("internal/party/table.go:Table.announce", "ring/queue_core.go:queueCore.repair").does(then(
				kernelReports("x"), opClaim("slot", 1, 2))...),
			of("ring/queue_core.go:queueCore.claimFree", "ring/queue_core.go:queueCore.publish").does(
				opClaim("slot", 2, 3), opWrite("data", 2), opPut("slot", 4)),
			of("ring/queue_core.go:queueCore.claimReady").does(
				opClaim("slot", 4, 5), opRead("data", "b")),
		),
		never("b=1", "b=0", "data=1 b=2"), "Bytes of the dead putter come after those of the next one.",
	},
	{
		"queue: a dead getter", "ISA2", sidesOf(
			of("ring/queue.go:Queue.Put", "ring/queue_core.go:queueCore.publish").does(
				opWrite("data", 1), opPut("slot", 1)),
			of("ring/queue_core.go:queueCore.claimReady").does(
				opClaim("slot", 1, 2), kernelEnds()),
			of("ring/queue_core.go:queueCore.adopt").does(then(
				kernelReports("x"), opClaim("slot", 2, 3), opRead("data", "a"))...),
		),
		never("a=0"), "The getter that takes the message over reads bytes from before it.",
	},
	{
		"queue: shutdown and put", "SB", sidesOf(
			of("ring/queue_core.go:queueCore.claimFree").does(
				opClaim("slot", 0, 1), opLoad("shut", "a")),
			of("ring/queue.go:Queue.Shutdown", "ring/queue_core.go:queueCore.drained").does(
				opOr("shut"), opLoad("slot", "b")),
		),
		never("a=0 b=0"), "A putter goes on, and the queue counts as drained.",
	},
	{
		"queue: the last message", "RWC", sidesOf(
			of("ring/queue_core.go:queueCore.release").does(
				opPut("slot", 1), opLoad("shut", "a")),
			of("ring/queue.go:Queue.Shutdown").does(
				opOr("shut")),
			of("ring/queue_core.go:queueCore.nothing").does(
				opLoad("shut", "b"), opIs("b", 1), opHeavy(), opLoad("slot", "c")),
		),
		never("a=0 b=1 c=0"), "A getter that frees the last slot wakes nobody, and another one waits for it.",
	},

	// The broadcast. The states of a slot follow each other: writing, ready, writing in the next lap.
	{
		"broadcast: a message", "MP", sidesOf(
			of("ring/broadcast_core.go:broadcastCore.claim", "ring/broadcast.go:Broadcast.Publish", "ring/broadcast_core.go:broadcastCore.publish").does(
				opClaim("slot", 0, 1), opCopyIn("data", 1), opCopyIn("data2", 1), opPut("slot", 2)),
			of("ring/subscriber.go:Subscriber.Receive", "ring/subscriber_core.go:subscriberCore.receive").does(
				opLoad("slot", "s"), opIs("s", 2), opCopyTo("data", "a"), opCopyTo("data2", "b")),
		),
		never("a=0", "b=0"), "A subscriber reads bytes from before the message.",
	},
	{
		"broadcast: a message that is overwritten", "seqlock", sidesOf(
			of("ring/broadcast_core.go:broadcastCore.claim", "ring/broadcast.go:Broadcast.Publish").does(
				opClaim("slot", 0, 1), opCopyIn("data", 1), opCopyIn("data2", 1)),
			of("ring/subscriber.go:Subscriber.Receive", "ring/subscriber_core.go:subscriberCore.receive").does(
				opLoad("slot", "s"), opIs("s", 0), opCopyTo("data", "a"), opCopyTo("data2", "b"), opLoad("slot", "t")),
		),
		never("a=1 t=0", "b=1 t=0"), "A subscriber has a word of the next lap and believes that it has the message.",
	},
	{
		"broadcast: a lossless subscriber joins", "SB", sidesOf(
			of("ring/broadcast_core.go:broadcastCore.claim", "ring/broadcast_core.go:broadcastCore.slowest").does(
				opClaim("slot", 0, 1), opLoad("owner", "a")),
			of("ring/subscriber_core.go:subscriberCore.takeLine", "ring/broadcast_core.go:broadcastCore.end").does(
				opClaim("owner", 0, 1), opLoad("slot", "b")),
		),
		never("a=0 b=0"), "The limit does not heed a subscriber that begins at a message which the limit takes for claimed.",
	},
	{
		"broadcast: shutdown and publish", "SB", sidesOf(
			of("ring/broadcast_core.go:broadcastCore.claim").does(
				opClaim("slot", 0, 1), opLoad("shut", "a")),
			of("ring/broadcast.go:Broadcast.Shutdown", "ring/subscriber_core.go:subscriberCore.find").does(
				opStore("shut", 1), opLoad("slot", "b")),
		),
		never("a=0 b=0"), "A publisher goes on, and a subscriber says that no message follows.",
	},
	{
		"broadcast: Close during Receive", "SB", sidesOf(
			of("ring/subscriber_core.go:subscriberCore.enter").does(
				opPut("inside", 1), opLoad("closed", "a")),
			of("ring/subscriber_core.go:subscriberCore.close").does(
				opStore("closed", 1), opHeavy(), opLoad("inside", "b")),
		),
		never("a=0 b=0"), "Close frees the line, and Receive moves the cursor of its next owner.",
	},

	// The pipe.
	{
		"pipe: a record", "MP", sidesOf(
			of("ring/stream_unsafe.go:stream.sendInline", "ring/sender_unsafe.go:Sender.Next").does(
				opPut("next", 1), opWrite("data", 1), opWrite("data2", 1), opPut("header", 1)),
			of("ring/stream_unsafe.go:stream.receiveInline", "ring/receiver_unsafe.go:Receiver.Receive").does(
				opLoad("header", "h"), opIs("h", 1), opRead("data", "a"), opRead("data2", "b"), opLoad("next", "c")),
		),
		never("a=0", "b=0", "c=0"), "A receiver reads bytes, or takes a next header, from before the record.",
	},
	{
		"pipe: space is used again", "LB", sidesOf(
			of("ring/stream_unsafe.go:stream.receiveInline", "ring/receiver_unsafe.go:Receiver.release").does(
				opRead("data", "a"), opPut("head", 1)),
			of("ring/stream_unsafe.go:stream.checkSpace", "ring/stream_unsafe.go:stream.reserve").does(
				opLoad("head", "h"), opIs("h", 1), opWrite("data", 1)),
		),
		never("a=1"), "A receiver reads bytes of a later record.",
	},
	{
		"pipe: space, as another sender saw it", "LB, three threads", sidesOf(
			of("ring/stream_unsafe.go:stream.receiveInline", "ring/receiver_unsafe.go:Receiver.release").does(
				opRead("data", "a"), opPut("head", 1)),
			of("ring/stream_unsafe.go:stream.checkSpace").does(
				opLoad("head", "h"), opIs("h", 1), opPut("seen", 1)),
			of("ring/stream_unsafe.go:stream.sendInline").does(
				opLoad("seen", "s"), opIs("s", 1), opWrite("data", 1)),
		),
		never("a=1"), "The same.",
	},
	{
		"pipe: a dead sender", "MP", sidesOf(
			of("ring/stream_unsafe.go:stream.sendInline").does(
				opWrite("data", 1), opPut("header", 1), kernelEnds()),
			of("internal/party/table.go:Table.announce", "ring/stream_unsafe.go:stream.repairTail").does(then(
				kernelReports("x"), opLoad("header", "h"))...),
		),
		never("h=0"), "The next sender writes over a record that was sent.",
	},
	{
		"pipe: the end of messages", "RWC", sidesOf(
			of("ring/sender_unsafe.go:Sender.Commit", "ring/conn_core.go:connCore.checkOpen").does(
				opPut("header", 1), opLoad("epoch", "a")),
			of("ring/conn_core.go:connCore.closeOnce").does(
				opAdd("epoch", 1), opHeavy(), opAnd("hold")),
			of("ring/conn_core.go:connCore.orEOF").does(
				opLoad("hold", "b"), opIs("b", 1), opLoad("header", "c")),
		),
		never("a=0 b=1 c=0"), "Commit returns nil, and the other end returns io.EOF without the message.",
	},
	{
		"pipe: an end changes hands", "a scan", sidesOf(
			of("shm/attachment.go:attachment.take", "internal/party/table.go:Table.move").does(
				opOr("new"), opAdd("epoch", 1), opRelease("told", 1)),
			of("ring/conn_core.go:connCore.closeOnce").does(
				opAcquire("told", "x"), opIs("x", 1), opAnd("old")),
			of("ring/conn_core.go:connCore.checkPeer").does(
				opLoad("epoch", "e"), opLoad("new", "n"), opLoad("old", "o"), opLoad("epoch", "f")),
		),
		never("e=0 n=0 o=1 f=0"), "A scan sees neither the new holder nor the old one, and no move of the epoch.",
	},
	{
		"bias: enter and revoke", "SB", sidesOf(
			of("ring/biased_lock.go:biasedLock.acquireBiased", "ring/biased_lock.go:biasedLock.releaseBiased", "ring/stream_unsafe.go:stream.reserveInline").does(
				opPut("inside", 1), opLoad("bias", "a")),
			of("ring/biased_lock.go:biasedLock.acquire", "ring/biased_lock.go:biasedLock.acquireLocked", "ring/biased_lock.go:ownerWaiter.Try").does(
				opClaim("bias", 0, 1), opHeavy(), opLoad("inside", "b")),
		),
		never("a=0 b=0"), "Two users are inside; or the first leaves and wakes nobody, and the second waits for it.",
	},
	{
		"bias: what the first user did", "MP", sidesOf(
			of("ring/stream_unsafe.go:stream.commitInline", "ring/biased_lock.go:biasedLock.releaseBiased").does(
				opWrite("data", 1), opPut("tail", 1), opPut("inside", 1)),
			of("ring/biased_lock.go:ownerWaiter.Try").does(
				opLoad("inside", "i"), opIs("i", 1), opRead("data", "a"), opLoad("tail", "b")),
		),
		never("a=0", "b=0"), "The next user sees a ring from before.",
	},
	{
		"bias: what the first user read", "LB", sidesOf(
			of("ring/stream_unsafe.go:stream.releaseInline", "ring/biased_lock.go:biasedLock.releaseBiased").does(
				opRead("data", "a"), opPut("inside", 1)),
			of("ring/biased_lock.go:ownerWaiter.Try").does(
				opLoad("inside", "i"), opIs("i", 1), opWrite("data", 1)),
		),
		never("a=1"), "The first user reads what the next one writes.",
	},

	// Values.
	{
		"value: a new copy", "MP", sidesOf(
			of("value/copies.go:core.publish").does(
				opCopyIn("copy", 1), opCopyIn("copy2", 1), opStore("number", 1)),
			of("value/copies.go:core.read").does(
				opLoad("number", "n"), opIs("n", 1), opCopyTo("copy", "a"), opCopyTo("copy2", "b")),
		),
		never("a=0", "b=0"), "A reader has words from before the value.",
	},
	{
		"value: a copy that is written again", "seqlock", sidesOf(
			of("value/copies.go:core.publish").does(
				opStore("number", 3), opCopyIn("copy", 1), opCopyIn("copy2", 1)),
			of("value/copies.go:core.read").does(
				opLoad("number", "n"), opIs("n", 0), opCopyTo("copy", "a"), opCopyTo("copy2", "b"), opLoad("number", "m")),
		),
		never("a=1 m=0", "b=1 m=0"), "A reader has a word of value 4 and believes that it has value 0.",
	},
	{
		"value: the next writer", "MP", sidesOf(
			of("value/copies.go:Value.replace", "internal/robust/mutex.go:Mutex.Release").does(
				opCopyIn("copy", 1), opStore("number", 1), opPut("lock", 1)),
			of("internal/robust/mutex.go:Mutex.TryAcquire", "value/copies.go:Value.replace").does(
				opClaim("lock", 1, 2), opLoad("number", "n"), opCopyTo("copy", "a")),
		),
		never("n=0", "a=0"), "A writer goes on from a value that was replaced.",
	},

	// The lock's family.
	{
		"rwlock: a reader and a writer", "SB", sidesOf(
			of("sync/rwlock_core.go:rwCore.add", "sync/rwlock_core.go:rwCore.join").does(
				opClaim("in", 0, 1), opLoad("phase", "a")),
			of("sync/rwlock_core.go:rwCore.write", "sync/rwlock_core.go:rwCore.any").does(
				opClaim("phase", 0, 1), opLoad("in", "b")),
		),
		never("a=0 b=0"), "A reader reads while a writer writes.",
	},
	{
		"rwlock: what a reader read", "LB", sidesOf(
			of("sync/rwlock_core.go:rwCore.leave", "sync/rwlock_core.go:rwCore.take").does(
				opRead("data", "a"), opClaim("in", 0, 1)),
			of("sync/rwlock_core.go:rwCore.any", "sync/rwlock_core.go:rwCore.write").does(
				opLoad("in", "i"), opIs("i", 1), opClaim("phase", 0, 1), opWrite("data", 1)),
		),
		never("a=1"), "A reader reads what the next writer writes.",
	},
	{
		"rwlock: what a writer wrote", "MP", sidesOf(
			of("sync/rwlock_core.go:rwCore.free").does(
				opWrite("data", 1), opClaim("phase", 0, 1)),
			of("sync/rwlock_core.go:rwCore.tryRead", "sync/rwlock_core.go:rwCore.add", "sync/rwlock_core.go:rwCore.join").does(
				opLoad("phase", "p"), opIs("p", 1), opClaim("in", 0, 1), opLoad("phase", "q"), opIs("q", 1), opRead("data", "a")),
		),
		never("a=0"), "A reader reads what was there before.",
	},
	{
		"condition: a notification that is left behind", "MP", sidesOf(
			of("sync/condition_core.go:conditionCore.notify").does(
				opStore("until", 1), opClaim("slot", 0, 1)),
			of("sync/condition_core.go:waiter.takeOver").does(
				opLoad("slot", "s"), opIs("s", 1), opLoad("until", "u")),
		),
		never("u=0"), "A waiter does not take over a notification that it may have.",
	},
	{
		"waitgroup: the log", "MP", sidesOf(
			of("sync/waitgroup.go:groupCore.commit").does(
				opStore("word", 1), opStore("n", 1)),
			of("sync/waitgroup.go:groupCore.redo", "sync/waitgroup.go:groupCore.perform").does(
				opLoad("n", "n"), opIs("n", 1), opLoad("word", "w")),
		),
		never("w=0"), "A change is made that is not in the log.",
	},
	{
		"waitgroup: counts of the dead", "MP", sidesOf(
			of("sync/waitgroup.go:groupCore.perform").does(
				opStore("share 0", 1), opStore("share", 1)),
			of("sync/waitgroup.go:groupCore.died").does(
				opLoad("share", "s"), opIs("s", 1), opLoad("share 0", "z")),
		),
		never("z=0"), "A waiter sees the counts in neither share.",
	},
	{
		"barrier: the last to arrive", "SB", sidesOf(
			of("sync/barrier_core.go:arrival.takeSeat", "sync/barrier_core.go:barrierCore.full").does(
				opClaim("seat 1", 0, 1), opLoad("seat 2", "a")),
			of("sync/barrier_core.go:arrival.takeSeat", "sync/barrier_core.go:barrierCore.full").does(
				opClaim("seat 2", 0, 1), opLoad("seat 1", "b")),
		),
		never("a=0 b=0"), "All have arrived, and nobody knows.",
	},
	{
		"once: what was done", "MP", sidesOf(
			of("sync/once.go:onceCore.run").does(
				opWrite("data", 1), opStore("done", 1)),
			of("sync/once.go:Once.Do").does(
				opLoad("done", "d"), opIs("d", 1), opRead("data", "a")),
		),
		never("a=0"), "Do returns before what the function did is there.",
	},
	{
		"event: what came before", "MP", sidesOf(
			of("sync/event.go:Event.Set").does(
				opWrite("data", 1), opOr("count")),
			of("sync/event.go:eventWaiter.Try").does(
				opLoad("count", "c"), opIs("c", 1), opRead("data", "a")),
		),
		never("a=0"), "A waiter goes on and reads what was there before.",
	},

	{
		"semaphore: what came before", "MP", sidesOf(
			of("sync/semaphore.go:semaphoreCore.give").does(
				opWrite("data", 1), opClaim("count", 0, 1)),
			of("sync/semaphore.go:semaphoreCore.take").does(
				opClaim("count", 1, 2), opRead("data", "a")),
		),
		never("a=0"), "A permit comes before what its giver wrote.",
	},

	// The segment.
	{
		"directory: a new object", "MP", sidesOf(
			of("shm/object.go:attachment.tryMake").does(
				opWrite("object", 1), opStore("state", 1)),
			of("shm/entry_unsafe.go:entry.ready").does(
				opLoad("state", "s"), opIs("s", 1), opRead("object", "a")),
		),
		never("a=0"), "An object is opened before it is made.",
	},
	{
		"memory: an object that a method still uses", "MP", sidesOf(
			of("internal/party/table.go:Table.SetQuiet", "shm/entry_unsafe.go:entry.drop").does(
				opStore("quiet", 1), opAnd("hold")),
			of("shm/entry_unsafe.go:entry.held", "internal/party/table.go:Table.Loud").does(
				opLoad("hold", "d"), opIs("d", 1), opLoad("quiet", "q")),
		),
		never("q=0"), "The memory is used again, and a method of the closed object is still in it.",
	},
	{
		"close: a word", "MP", sidesOf(
			of("shm/attachment.go:attachment.end").does(
				opStore("closed", 1), opFull(), opWrite("page", 1)),
			of("value/number.go:Integer.Load").does(
				opLoad("page", "p"), opIs("p", 1), opLoad("closed", "c")),
		),
		never("c=0"), "Load returns the 0 that Close left, and not ErrClosed.",
	},
	{
		"close: a message", "MP", sidesOf(
			of("internal/wait/room.go:Room.Close").does(
				opClaim("closed", 0, 1), opFull(), opWrite("page", 1)),
			of("ring/queue_core.go:queueCore.release", "ring/queue_core.go:queueCore.unlessClosed").does(
				opRead("page", "p"), opPut("slot", 1), opLoad("closed", "c")),
		),
		never("p=1 c=0"), "Get returns the bytes that Close left, and not ErrClosed.",
	},
}
