/* One direction of a pipe: ring/biased_lock.go, stream_unsafe.go, conn_core.go. Threads 1 to SENDERS
 * hold the sending end, each in a process of its own, and send MESSAGES messages each; then they
 * close it. The others hold the receiving end, and receive until the end of file. If a side has
 * several threads, its ownership is contested: the first thread has it for itself until another
 * one revokes that, and then all take the lock for each visit.
 *
 *   HANDOVER  thread 2 holds the end from the moment at which it opens the handle that
 *             thread 1 has sent to it; thread 1 closes the end after that
 *   BOTH      with HANDOVER: thread 1 sends messages, too
 *   CLOSER    threads 1 and 2 are of one process: 1 sends, and 2 closes the Conn meanwhile
 *   FULL      the ring holds one message, and senders wait for space
 *   THREADS=2 with 2 SENDERS: no thread receives, and no thread closes an end
 *   TAKES     a receiver receives only so many messages
 *   STRONG    senders have a fence of their own before they look whether a receiver sleeps: see gate.pml
 *
 * The robust lock is modelled in lock.pml. Here it is taken in one step, and a thread that waits for it
 * goes on when it is free. The ring is as long as needed, but what it holds at first is
 * arbitrary, as after a turn. A message is of one byte: that it is torn is that its
 * header is there before it. A sender or receiver object (sender_unsafe.go, receiver_unsafe.go)
 * is one visit with many messages; here each message is a visit. Not here: fillers.
 *
 * Claims:
 *   - At most one living thread works on a side.
 *   - A message whose Send returned nil is received exactly once, whole, in the order of its sender.
 *   - "End of file" is returned only if there was a moment at which no process held the sending end,
 *     and all messages whose Send returned nil are received.
 *   - No thread waits for ever: each receiver comes to the end of file when no process
 *     holds the sending end any more; each sender gets its turn, and space, or hears that
 *     no process holds the receiving end.
 */
#ifndef SENDERS
#define SENDERS 2
#endif
#ifndef MESSAGES
#define MESSAGES 1
#endif
#ifndef TAKES                        /* messages that a receiver receives at most */
#define TAKES (SENDERS * MESSAGES + 1)
#endif
#ifndef STRONG
#define FENCES
#define FENCE() armFence()
#endif
#define GATES 2
#define READABLE 0
#define WRITABLE 1                   /* with FULL */
#define VACANT 1                     /* not a gate: the word inside, on which a thread sleeps */
#ifdef CLOSER
#define SHARED
#endif
#define USEFUL (inside == 0 || header[head] != 0)  /* there is something that a look would find */
#define MOVED heldIsAsSeen = 0; scanIsValid = 0
#include "common.pml"

#ifdef CLOSER
#define MOST MESSAGES
#else
#define MOST (SENDERS * MESSAGES)
#endif
#define ME PARTY(me)
#if SENDERS == 2                     /* the sending side is contested */
#define TX 1
#define RX 0
#define ENDA (BIT(1) | BIT(2))       /* parties of the sending end */
#define FIRSTA 2
#if THREADS == 2                     /* no thread receives: see Judge */
#define ENDB 0
#else
#define ENDB BIT(3)
#endif
#define FIRSTB 3
#define LASTB 3
#else
#define TX 0
#define ENDA BIT(1)
#define FIRSTA 1
#if THREADS == 3 && !defined(CLOSER) /* the receiving side is contested */
#define RX 1
#define ENDB (BIT(2) | BIT(3))
#define FIRSTB 2
#define LASTB 3
#else
#define RX 0
#define ENDB BIT(THREADS)
#define FIRSTB THREADS
#define LASTB THREADS
#endif
#endif

/* The biased lock of the side that is contested. */
byte bias;                           /* biasedLockWords.bias: a party, */
bit revoked;                         /* and R */
bit inside;                          /* biasedLockWords.inside */
byte owner;                          /* of biasedLockWords.lock */
byte fenced;                         /* by party: biasedLock.fenced */

/* The stream. A cursor is a number of records from the beginning. */
#define GARBAGE 15
byte header[MOST + 2];               /* 0: nothing yet; otherwise the message's number */
byte data[MOST + 2];
byte tail, head;

/* The two ends */
byte holds;                          /* by party: the bits of the entry */
byte heldIsAsSeen;                   /* by thread: the epoch is connCore.seen */
byte scanIsValid;                    /* by thread: the epoch is as it was before the scan */
bit handed, registered;              /* the handle was sent; its receiver says that it has opened it */
bit closed;                          /* connCore.closed of the process of CLOSER */

/* Who holds the sending end: thread 2 of HANDOVER from the return of UnmarshalText on. */
#ifdef HANDOVER
#define HOLDERS (holds & ENDA & ~killed & (registered -> 255 : ~BIT(2)))
#else
#define HOLDERS (holds & ENDA & ~killed)
#endif

/* The store buffer of each thread */
mtype = { BODY, HEADER, TAIL, HEAD, INSIDE, UNLOCK };
chan buffer[THREADS + 1] = [5] of { mtype, byte, byte };
mtype what;
byte at, x, t;

/* Not in the code: what the claims refer to. */
byte working;                        /* the thread that works on the contested side */
byte got, sent;                      /* messages that were received, and whose Send returned nil */
byte last[SENDERS + 1];              /* by sender: the last message that was received */
bit nobody;                          /* there was a moment at which no process held the sending end */
bit ended_;                          /* end of file was returned */
byte finished;                       /* threads that have sent all their messages */

inline apply(p) {
	buffer[p] ? what, at, x;
	if
	:: what == BODY -> data[at] = x;
#ifndef MUT_NO_CLEAR
		header[at + 1] = 0
#endif
	:: what == HEADER -> header[at] = x
	:: what == TAIL -> tail = at
	:: what == HEAD -> head = at
	:: what == INSIDE -> inside = x
	:: what == UNLOCK -> owner = 0
	fi;
	what = 0; at = 0; x = 0
}
inline drain(p) {
	do
	:: len(buffer[p]) > 0 -> apply(p)
	:: else -> break
	od
}
inline settle() { drain(me) }
inline fence() {
	t = 1;
	do
	:: t <= THREADS -> drain(t); t++
	:: else -> t = 0; break
	od
}
/* fence.Heavy of a thread that has armed */
inline armFence() {
#ifndef MUT_NO_FENCE
	fence()
#else
	skip
#endif
}
#define PUT(w, i, v) buffer[me] ! w, i, v

inline killing(p) {
	t = 1;
	do
	:: t <= THREADS ->
		if
		:: PARTY(t) == p -> drain(t)
		:: else
		fi;
		t++
	:: else -> t = 0; break
	od;
	if
	:: working && PARTY(working) == p -> working = 0
	:: else
	fi;
	heldIsAsSeen = heldIsAsSeen & ~CREW(p);
	scanIsValid = scanIsValid & ~CREW(p);
	if
	:: HOLDERS == 0 -> nobody = 1
	:: else
	fi
}

#define HOLDSNOT(p) (len(buffer[p]) == 0 && owner != (p) && !(bias == (p) && inside) && !(working && PARTY(working) == (p)))
inline stopping(p) { skip }

/* Table.Wake, if the epoch is an atomic: the buffer is drained. */
inline wakeTable() {
	atomic { settle(); epochIsAsRead = 0; MOVED };
	atomic {
		up = up | queued[0];
		up = up | queued[1]
	}
}

#ifdef STRONG
#define ARMED_(g) arm(g)
#define PUBLISHED() atomic { settle() }
#else
#define ARMED_(g) arm(g); armedFence(g)
#define PUBLISHED() skip
#endif

/* A thread that waits at VACANT sleeps while inside is 1, not while it did not change. */
#if SENDERS > 1 && !defined(FULL)
#define SLEEPSVACANT
#undef UNMOVED
#ifndef MUT_EPOCH_LATE
#define UNMOVED(g) ((epochIsAsRead & BIT(me)) && ((g) == VACANT -> inside : (gateIsAsRead[g] & BIT(me))))
#else
#define UNMOVED(g) ((g) == VACANT -> inside : (gateIsAsRead[g] & BIT(me)))
#endif
#endif

/* vacancy.Try */
#ifndef MUT_DEAD_INSIDE
#define EMPTY (inside == 0 || DEAD(bias))
#else
#define EMPTY (inside == 0)
#endif
inline lookVacant() {
	if
	:: atomic { EMPTY -> r = GOT }
	:: !EMPTY
	fi
}
/* vacancy.Arm and Armed.fence: no gate */
inline armVacant() { atomic { armFence() } }
#ifdef SLEEPSVACANT
#define AWAIT awaitVacant
#define LOOK() lookVacant()
#define ARM(g) armVacant()
#include "await.pml"
#endif

inline begins() { assert(working == 0); working = me }

/* biasedLock.acquire, with acquireBiased as its first step. how is LOCKED or SEATED at the end, or r is
 * CANCELLED. */
mtype = { OUT, SEATED, LOCKED };
inline enterSlow() {
	do
	:: atomic { its -> PUT(INSIDE, 0, 1) };      /* acquireBiased */
	   if
	   :: atomic { bias == ME && !revoked -> how = SEATED; begins() };
	      break
	   :: atomic { revoked -> settle(); inside = 0; its = 0 };  /* biasedLock.backOut */
#ifndef MUT_OUSTED_SILENT
	      wakeAll(VACANT)
#endif
	   fi
	:: atomic { !its && !revoked && (bias == 0 || (bias != ME && DEAD(bias))) -> settle(); bias = ME };
	   atomic { settle(); inside = 0; its = 1 }
#ifndef MUT_NO_REVOKE
	:: atomic { !its && !revoked && bias && (bias == ME || !DEAD(bias)) -> settle(); revoked = 1 }
#else
	:: atomic { !its && !revoked && bias && (bias == ME || !DEAD(bias)) -> break };
#endif
	:: !its && revoked ->
	   if
#ifndef MUT_REVOKE_UNFENCED
	   :: atomic { !(fenced & BIT(ME)) -> fence() };
	      atomic { fenced = fenced | BIT(ME) }
	   :: fenced & BIT(ME)
#else
	   :: true
#endif
	   fi;
	   if                                        /* Mutex.TakeOver */
	   :: atomic { owner == 0 || DEAD(owner) -> settle(); owner = ME }
	   :: atomic { owner && !DEAD(owner) && stage == LAST -> r = CANCELLED; break }
	   :: atomic { owner && !DEAD(owner) && MAYCANCEL -> cancels--; r = CANCELLED; break }
	   fi;
#ifndef MUT_NOT_EMPTY
#ifdef SLEEPSVACANT
	   awaitVacant(VACANT);
	   atomic { woken = 0; stage = FIRST }
#else
	   if
	   :: atomic { EMPTY -> r = GOT }
	   :: atomic { !EMPTY && stage == LAST -> r = CANCELLED }
	   :: atomic { !EMPTY && MAYCANCEL -> cancels--; r = CANCELLED }
	   fi;
#endif
#else
	   r = GOT;
#endif
	   if
	   :: atomic { r == GOT -> r = PENDING; how = LOCKED; begins(); break }
	   :: atomic { r == CANCELLED -> settle(); owner = 0; break }
	   fi
	od
}

/* biasedLock.release: releaseBiased, or Mutex.Release, whose wake is not here. The store before it is of a cursor,
 * at which no other thread looks until the side is left. */
#define SENDEROF(n) (((n) - 1) / MESSAGES + 1)
inline putCursor(w) {
	if
	:: w != 0 ->
		PUT(w, place + 1, 0);
		if
		:: w == HEAD ->                      /* it is received, also if the thread is killed from here on */
			got = got | BIT(header[place]);
			last[SENDEROF(header[place])] = header[place]
		:: else
		fi
	:: else
	fi;
#if !RX && !defined(FULL)
	if                                   /* no other thread looks at head */
	:: w == HEAD -> drain(me)
	:: else
	fi;
#endif
	place = 0
}
inline leaveAs(w) {
	if
	:: atomic { how == SEATED -> assert(working == me); working = 0; putCursor(w); PUT(INSIDE, 0, 0) };
	   if
	   :: atomic { bias == ME && !revoked -> how = OUT }
	   :: atomic { revoked -> how = OUT; its = 0 };  /* biasedLock.wakeRevoker */
#ifndef MUT_VACATED_SILENT
	      atomic { settle(); up = up | queued[VACANT]; queued[VACANT] = 0 }
#endif
	   fi
	:: atomic { how == LOCKED -> assert(working == me); working = 0; how = OUT; putCursor(w); PUT(UNLOCK, 0, 0) }
	:: atomic { how == OUT -> putCursor(w) }   /* the side has one thread */
	fi
}

/* stream.repairTail */
inline walk() {
	atomic { place = tail };
#ifndef MUT_NO_WALK
	do
	:: atomic { header[place] != 0 -> place++ }
	:: header[place] == 0 -> break
	od
#endif
}

/* connCore.peer, of a receiver: gone is true if no process holds the sending end. The bits may lie in
 * different words. */
#define SEEN(p) ((holds & BIT(p)) && !DEAD(p))
inline peer(first, second) {
	do
	:: atomic { heldIsAsSeen & BIT(me) -> break }
	:: atomic { !(heldIsAsSeen & BIT(me)) -> scanIsValid = scanIsValid | BIT(me) };
	   if
	   :: atomic { SEEN(first) -> heldIsAsSeen = heldIsAsSeen | (scanIsValid & BIT(me)); break }
	   :: !SEEN(first);
	      if
	      :: atomic { SEEN(second) -> heldIsAsSeen = heldIsAsSeen | (scanIsValid & BIT(me)); break }
	      :: !SEEN(second)
	      fi
	   fi;
#ifndef MUT_NO_RESCAN
	   if
	   :: atomic { scanIsValid & BIT(me) -> gone = 1; break }
	   :: atomic { !(scanIsValid & BIT(me)) }
	   fi
#else
	   atomic { gone = 1; break }
#endif
	od;
	scanIsValid = scanIsValid & ~BIT(me)
}

inline endOfFile() {
	assert(nobody);
	assert((sent & ~got) == 0);
	ended_ = 1;
	r = SHUT
}

/* connWaiter.Try of a receiver: connCore.receive, then orEOF */
inline tryReceive() {
	if
	:: RX -> enterSlow()
	:: else
	fi;
	if
	:: atomic { r == CANCELLED -> goto looked }
	:: atomic { r != CANCELLED && header[head] != 0 -> place = head; m = header[place] };
	   atomic {
		assert(data[place] == m && !(got & BIT(m)));
		assert(m > last[SENDEROF(m)]);
		m = 0
	   };
	   leaveAs(HEAD);
#ifdef FULL
	   PUBLISHED();
	   notify(WRITABLE);
#endif
	   atomic { settle(); r = GOT; goto looked }
	:: atomic { r != CANCELLED && header[head] == 0 };
	   leaveAs(0);
	   atomic { settle() }
	fi;
#ifndef MUT_EOF_BLIND
	peer(FIRSTA, 1);
	if
	:: gone ->
	   atomic { gone = 0; place = head };
	   if                                        /* stream.isEmpty */
	   :: atomic { header[place] == 0 -> place = 0; endOfFile() }
	   :: atomic { header[place] != 0 -> place = 0 }
	   fi
	:: else
	fi
#else
	peer(FIRSTA, 1);
	atomic {
		if
		:: gone -> gone = 0; endOfFile()
		:: else
		fi
	}
#endif
}

#define AWAIT awaitMessage
#define LOOK() tryReceive()
#define ARM(g) ARMED_(g)
#include "await.pml"

/* stream.hasMessage */
#define SOME (RX && revoked -> tail != head : header[head] != 0)

proctype Receiver(byte me) STOPPABLE {
	byte place, m, count;
	bit woken, its, gone;
	mtype r, stage = FIRST, how = OUT;
	{
		do
		:: r == SHUT || r == CANCELLED || count == TAKES -> break
		:: atomic { r != SHUT && r != CANCELLED && count < TAKES -> r = PENDING; count++ };
		   awaitMessage(READABLE);
		   if                                /* connWaiter.Pass */
#ifndef MUT_NO_PASS
		   :: atomic { woken && r != GOT -> passOn(READABLE) }
#ifndef MUT_NO_MORE
		   :: atomic { woken && r == GOT && SOME -> passOn(READABLE) }
#endif
#endif
		   :: else
		   fi;
		   atomic { woken = 0; stage = FIRST }
		od;
#ifdef FULL                          /* otherwise no thread waits for that */
		holds = holds & ~BIT(ME);            /* connCore.closeOnce */
		wakeTable()
#else
		skip
#endif
	} unless { KILLED };
	atomic { place = 0; m = 0; count = 0; woken = 0; its = 0; gone = 0; r = 0; stage = FIRST; how = OUT; ended() }
}

/* connCore.closeOnce */
inline closeOnce() {
#ifdef CLOSER                        /* otherwise no other thread of the process sends */
	wakeTable();
#ifndef MUT_DROP_UNFENCED
	atomic { fence() };
#endif
#endif
	atomic {
		holds = holds & ~BIT(ME);
		if
		:: HOLDERS == 0 -> nobody = 1
		:: else
		fi
	};
#ifndef MUT_DROP_SILENT
	wakeTable()
#endif
}

/* Conn.Send: connCore.reserve, the copy and commit */
inline send(n) {
	if
	:: TX -> enterSlow()
	:: else
	fi;
	if
	:: atomic { r == CANCELLED }
	:: r != CANCELLED ->
	   walk();
#ifdef FULL
	   if
	   :: atomic { place - head >= 1 -> place = 0 };
	      leaveAs(0);
	      atomic { settle(); goto looked }
	   :: place - head < 1
	   fi;
#endif
#ifndef MUT_HEADER_EARLY
	   atomic { PUT(BODY, place, n); PUT(HEADER, place, n) };  /* no thread looks at the body alone */
#else
	   atomic { PUT(HEADER, place, n); PUT(BODY, place, n) };
#endif
	   leaveAs(TAIL);
	   PUBLISHED();
	   notify(READABLE);
#ifdef CLOSER
	   isClosed = closed;                        /* connCore.checkOpen */
#endif
	   atomic { settle(); r = GOT }
	fi
}

#ifdef FULL
/* connWaiter.Try of a sender */
inline trySend() {
	peer(FIRSTB, LASTB);
	if
	:: atomic { gone -> gone = 0; r = SHUT }     /* ErrBrokenPipe */
	:: else -> send(number)
	fi
}
#define AWAIT awaitSpace
#define LOOK() trySend()
#define ARM(g) ARMED_(g)
#include "await.pml"
#endif

/* A close wakes all threads. So that it does not help one that is stuck, the ends are closed when all messages
 * are sent and received. */
#define QUIET (!(ENDB & ~done) || (!(ENDA & ~finished & ~done) && !(sent & ~got)))
#define NUMBER ((me - 1) * MESSAGES + i)
proctype Sender(byte me) STOPPABLE {
	byte i, place, number;
	bit woken, its, gone, isClosed;
	mtype r, stage = FIRST, how = OUT;
	{
#ifdef HANDOVER
		if
		:: atomic { me == 1 -> handed = 1 }
		:: me == 2;
		   if
		   :: atomic { handed && !nobody -> holds = holds | BIT(2) };   /* Object.Hold */
#ifndef MUT_HOLD_SILENT
		      wakeTable();
#endif
		      if
		      :: atomic { !nobody -> registered = 1 }
		      :: nobody -> holds = holds & ~BIT(2); wakeTable(); goto out
		      fi
		   :: nobody; goto out              /* an end that no process holds is not taken up again here */
		   fi
		fi;
#endif
#if defined(HANDOVER) && !defined(BOTH)
		if
		:: me == 1 -> i = MESSAGES           /* sends nothing itself */
		:: me != 1
		fi;
#endif
		do
		:: i == MESSAGES -> break
		:: atomic { i < MESSAGES -> i++; r = PENDING };
#ifdef FULL
		   number = NUMBER;
		   awaitSpace(WRITABLE);
		   atomic { number = 0;
			if                           /* connWaiter.Pass */
			:: woken -> passOn(WRITABLE)
			:: else
			fi;
			woken = 0; stage = FIRST };
		   if
		   :: r != GOT -> break
		   :: r == GOT
		   fi;
#else
		   send(NUMBER);
#endif
		   atomic {
			if
#ifdef CLOSER
			:: r == GOT && isClosed -> break       /* ErrClosed */
			:: r == GOT && !isClosed ->
#else
			:: r == GOT ->
#endif
				assert(!ended_ || (got & BIT(NUMBER)));
				sent = sent | BIT(NUMBER)
			:: r != GOT
			fi;
			r = 0
		   }
		od;
#ifdef CLOSER
		closed
#else
		finished = finished | BIT(me);
#ifdef HANDOVER
		if
		:: me == 1; registered || (killed & BIT(2))
		:: me == 2
		fi;
#else
		QUIET;
#endif
#if ENDB
		closeOnce()
#endif
#endif
	} unless { KILLED };
out:	atomic { i = 0; place = 0; number = 0; woken = 0; its = 0; gone = 0; r = 0; stage = FIRST; how = OUT; ended() }
}

#ifdef CLOSER
/* Conn.Close */
proctype Closer(byte me) {
	{
		closed = 1;
		closeOnce()
	} unless { KILLED };
	atomic { ended() }
}
#endif

/* Without a receiver: what is in the ring at the end */
proctype Judge() {
	byte i, found;
	timeout;
	atomic {
		do
		:: header[i] != 0 ->
			assert(data[i] == header[i] && !(found & BIT(header[i])));
			found = found | BIT(header[i]);
			i++
		:: else -> break
		od;
		assert((sent & ~found) == 0);
		i = 0; found = 0
	}
}

/* The processors' store buffers */
proctype Drainer() {
end:	do
	:: atomic { len(buffer[1]) > 0 -> apply(1) }
	:: atomic { len(buffer[2]) > 0 -> apply(2) }
#if THREADS > 2
	:: atomic { len(buffer[3]) > 0 -> apply(3) }
#endif
	od
}

#define PIDOF(t) ((t) + 2)
#ifndef MAYDIE
#ifndef FULL
#define MAYDIE(p) (TX -> (p) < 3 : (RX -> (p) > 1 : 1))  /* where a side is contested, only of that */
#endif
#endif
#include "deaths.pml"

init {
	byte i;
	atomic {
		i = 1;
		do
		:: i <= MOST + 1 -> header[i] = GARBAGE; data[i] = GARBAGE; i++
		:: else -> i = 0; break
		od;
		holds = ENDA | ENDB;
#ifdef HANDOVER
		holds = holds & ~BIT(2);
#endif
		run Killer(); run Announcer();
		run Sender(1);
#ifdef CLOSER
		run Closer(2);
#elif SENDERS > 1
		run Sender(2);
#else
		run Receiver(2);
#endif
#if THREADS > 2
		run Receiver(3);
#endif
#if ENDB == 0
		run Judge();
#endif
		run Drainer()
	}
}
