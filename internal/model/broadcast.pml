/* The broadcast of ring/broadcast_core.go, subscriber_core.go and broadcast_wait.go. Threads 1
 * to PUBLISHERS publish MESSAGES each. The others subscribe at some moment and receive until the
 * broadcast is shut down. LOSSY is the set of the lossy ones. Each thread is a process. Message
 * p lies in slot p modulo SLOTS, in lap p / SLOTS. A subscriber has the line of its own number. */
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef PUBLISHERS
#define PUBLISHERS 1
#endif
#ifndef MESSAGES
#define MESSAGES 2
#endif
#ifndef LOSSY
#define LOSSY 0
#endif
#define GATES 2
#define ITEMS 0                      /* broadcastWords.items */
#define SPACE 1                      /* broadcastWords.space */
#define PUBLISHING ((1 << PUBLISHERS + 1) - 2)
#define FENCES
#define FENCE() fence()
#include "common.pml"

mtype = { WRITING, READY };
#define FREE 0
#define POSITIONS (PUBLISHERS * MESSAGES + SLOTS + 3)

byte lap[SLOTS], own[SLOTS];         /* one word together with state */
mtype state[SLOTS];
byte message[SLOTS];
byte tail;
bit shut;
byte joined;                         /* lines that have an owner */
byte cursor[THREADS + 1];            /* subscriberLine.next */
byte buffered;                       /* slots to whose word the store of READY is still in a store buffer */
byte newer[THREADS + 1], held;       /* the cursor of a thread in held: its store is still in a store buffer */

/* Not in the code: what the claims refer to. */
byte order[POSITIONS];               /* 1 + number of the message that was published there */
byte top;                            /* 1 + the last position at which a message was published */
byte last = 255;                     /* the least position at which a Receive has returned ErrShutdown */

#define SLOT(p) ((p) % SLOTS)
#define LAP(p) ((p) / SLOTS)
#define ID ((me - 1) * MESSAGES + i) /* number of the publisher's next message */

/* Stores become visible. */
inline drain(x) { assert(state[x] == WRITING); buffered = buffered & ~BIT(x); state[x] = READY }
inline drainCursor(t) { cursor[t] = newer[t]; held = held & ~BIT(t) }
inline drainSlots(condition0, condition1) {
	if
	:: (buffered & BIT(0)) && condition0 -> drain(0)
	:: else
	fi;
#if SLOTS > 1
	if
	:: (buffered & BIT(1)) && condition1 -> drain(1)
	:: else
	fi
#endif
}
inline drainOf(t) {
	drainSlots(own[0] == t, own[1] == t);
	if
	:: held & BIT(t) -> drainCursor(t)
	:: else
	fi
}
inline settle() { drainOf(me) }
inline killing(p) { drainOf(p) }
/* fence.Heavy */
inline fence() {
#ifndef MUT_NO_FENCE
	drainSlots(true, true);
	if
	:: held & BIT(2) -> drainCursor(2)
	:: else
	fi;
#if THREADS > 2
	if
	:: held & BIT(3) -> drainCursor(3)
	:: else
	fi
#endif
#else
	skip
#endif
}
inline armAndFence(g) { arm(g); armedFence(g) }

/* The state of the slot of position p, as a thread reads it. */
#define LAPS (lap[SLOT(p)])
#define IS(x) (state[SLOT(p)] == x)
#define HERE (LAPS == LAP(p))
#define CLAIMABLE ((HERE && IS(FREE)) || (LAPS + 1 == LAP(p) && IS(READY)))
#define CLAIMED (LAPS > LAP(p) || (HERE && !IS(FREE)))
#define GIVENUP (LAPS == LAP(p) + 1 && IS(FREE))
#ifndef MUT_NO_REPAIR
#define DEADWRITER (IS(WRITING) && DEAD(own[SLOT(p)]))
#else
#define DEADWRITER 0
#endif
/* broadcastCore.giveUp, without the wakes */
inline giveUp() { lap[SLOT(p)] = LAPS + 1; state[SLOT(p)] = FREE; own[SLOT(p)] = 0 }
#define FOLLOWTAIL p = (tail > p -> tail : p)
inline wakeSubscribers() {
#ifndef MUT_WAKE_ONE
	notifyAll(ITEMS)
#else
	notify(ITEMS)
#endif
}
/* broadcastCore.notify */
inline notifyBoth() {
	wakeSubscribers();
#ifndef MUT_SLOT_SILENT
	notify(SPACE)
#endif
}
#ifndef MUT_DEATH_KEEPS
#define HOLDS(t) ((joined & BIT(t)) && !DEAD(t))
#else
#define HOLDS(t) (joined & BIT(t))
#endif

/* Between two calls of put. */
inline rest() { p = hint; k = 0; low = 0 }

/* broadcastCore.put: claim, publish */
inline put() {
	do                                              /* claim */
	:: atomic { CLAIMABLE && p < limit -> state[SLOT(p)] = WRITING; lap[SLOT(p)] = LAP(p); own[SLOT(p)] = me; break }
	:: atomic { !(CLAIMABLE && p < limit) && shut -> r = SHUT; rest(); goto looked }
	:: atomic { CLAIMED && !shut -> p++; FOLLOWTAIL }
	:: atomic { CLAIMABLE && p >= limit && !shut -> k = PUBLISHERS + 1;   /* raiseLimit */
#ifndef MUT_NO_LIMIT
		low = p };
#else
		low = 100 };                            /* without a subscriber there is no limit */
#endif
	   do
	   :: atomic { k <= THREADS && HOLDS(k) -> low = (cursor[k] < low -> cursor[k] : low); k++ }
	   :: atomic { k <= THREADS && !HOLDS(k) -> k++ }
	   :: atomic { k > THREADS && p < low + SLOTS -> limit = low + SLOTS; k = 0; low = 0; break }
	   :: atomic { k > THREADS && p >= low + SLOTS -> limit = low + SLOTS; rest(); goto looked }  /* ErrFull */
	   od
	:: atomic { !CLAIMED && !CLAIMABLE && !shut && DEADWRITER -> giveUp() };
	   notifyBoth()
	:: atomic { !CLAIMED && !CLAIMABLE && !shut && !DEADWRITER -> rest(); goto looked }  /* ErrBusy */
	od;
	if
#ifndef MUT_NO_SHUT_CHECK
	:: atomic { shut -> giveUp(); r = SHUT; rest() };  /* unclaim */
	   notifyAll(ITEMS)
	:: atomic { !shut ->                            /* advance; the message */
#else
	:: atomic { true ->
#endif
		if
		:: p > tail -> tail = p
		:: true
		fi;
		message[SLOT(p)] = ID };
	   atomic {                                     /* publish: fence.Publish64 */
		assert(IS(WRITING) && own[SLOT(p)] == me && p < last);
		order[p] = ID + 1;
		top = (p >= top -> p + 1 : top);
		buffered = buffered | BIT(SLOT(p));
		if
		:: true
		:: drain(SLOT(p))
		fi;
		hint = p + 1; r = GOT; rest()
	   }
	   notifyBoth();
	   atomic { settle() }
	fi
}

/* subscriberCore.moveTo */
inline moveTo() {
	atomic {
		if
		:: LOSSY & BIT(me)
		:: !(LOSSY & BIT(me)) ->
			newer[me] = p; held = held | BIT(me);
			if
			:: true
			:: drainCursor(me)
			fi
		fi
	};
#ifndef MUT_MOVE_SILENT
	notify(SPACE);
#endif
	atomic { settle() }
}

/* takeLine */
inline join() {
	atomic {
		if
		:: LOSSY & BIT(me)
		:: !(LOSSY & BIT(me)) -> joined = joined | BIT(me)
		fi
	}
}

/* subscriberCore.subscribe */
inline subscribe() {
#ifndef MUT_JOIN_LATE
	join();
#endif
	atomic { p = tail };                            /* end */
	do
	:: atomic { CLAIMED -> p++; FOLLOWTAIL }
	:: atomic { !CLAIMED -> break }
	od;
#ifdef MUT_JOIN_LATE
	join();
#endif
	moveTo()
}

/* subscriberCore.receive */
inline receive() {
	do
	:: HERE && IS(READY);
	   atomic { k = message[SLOT(p)] };
	   if
#ifndef MUT_NO_LAST_LOOK
	   :: atomic { HERE && IS(READY) ->
#else
	   :: atomic { true ->
#endif
		assert(order[p] == k + 1);
		r = GOT; k = 0; p++ };
	      moveTo();
	      break
#ifndef MUT_NO_LAST_LOOK
	   :: atomic { !(HERE && IS(READY)) -> k = 0 }
#endif
	   fi
	:: atomic { GIVENUP -> p++ };
	   moveTo()
	:: atomic { LAPS > LAP(p) && !GIVENUP ->        /* skip */
		assert(LOSSY & BIT(me));
		p = (tail > p + SLOTS -> tail - SLOTS : p + 1); r = GOT; break }
	:: atomic { HERE && DEADWRITER -> giveUp() };
	   notifyBoth()
	:: atomic { HERE && IS(WRITING) && !DEADWRITER -> goto looked }  /* ErrEmpty, ErrBusy */
	:: !CLAIMED;
	   if
	   :: atomic { !shut -> goto looked }           /* ErrEmpty */
	   :: shut;
#ifndef MUT_SHUT_BLIND
	      if
	      :: atomic { !CLAIMED -> r = SHUT; last = (p < last -> p : last); assert(top <= p); break }
	      :: CLAIMED
	      fi
#else
	      atomic { r = SHUT; last = (p < last -> p : last); assert(top <= p); break }
#endif
	   fi
	od
}

#define AWAIT publishAwaiting
#define LOOK() put()
#define ARM(g) armAndFence(g)
#include "await.pml"

#define AWAIT receiveAwaiting
#define LOOK() receive()
#define ARM(g) armAndFence(g)
#include "await.pml"

inline over() { woken = 0; stage = FIRST }

/* Broadcast.Publish, MESSAGES times */
proctype Publisher(byte me) {
	byte i, p, hint, limit, k, low;
	bit woken;
	mtype r, stage = FIRST;
	{
		do
		:: atomic { i < MESSAGES && r != SHUT && r != CANCELLED -> r = PENDING };
			publishAwaiting(SPACE);
			if
#ifndef MUT_NO_PASS
			:: atomic { woken -> passOn(SPACE); over(); i++ }  /* publisher.Pass */
#endif
			:: atomic { else -> over(); i++ }
			fi
		:: else -> break
		od
	} unless { KILLED };
	atomic { i = 0; p = 0; hint = 0; limit = 0; k = 0; low = 0; r = 0; over(); ended() }
}

/* Broadcast.Subscribe; Subscriber.Receive, until it fails; Close */
proctype Subscriber(byte me) {
	byte k, p;
	bit woken;
	mtype r, stage = FIRST;
	{
		subscribe();
		do
		:: atomic { r != SHUT && r != CANCELLED -> r = PENDING };
			receiveAwaiting(ITEMS);
			atomic { over() }
		:: else -> break
		od;
		atomic { joined = joined & ~BIT(me) };  /* leave */
#ifndef MUT_LEAVE_SILENT
		notifyAll(SPACE)
#endif
	} unless { KILLED };
	atomic { k = 0; p = 0; r = 0; over(); ended() }
}

/* Broadcast.Shutdown, when all publishers have ended. With EARLY: at any time. */
proctype Closer(byte me) {
#ifndef EARLY
	atomic { (done & PUBLISHING) == PUBLISHING -> shut = 1 };
#else
	shut = 1;
#endif
	notifyAll(ITEMS);
	notifyAll(SPACE);
	done == EVERYBODY
}

#define PIDOF(t) ((t) + 3)
#include "deaths.pml"

init {
	byte i;
	atomic {
		run Killer(); run Announcer(); run Closer(0);
		i = 1;
		do
		:: i <= THREADS ->
			if
			:: i <= PUBLISHERS -> run Publisher(i)
			:: else -> run Subscriber(i)
			fi;
			i++
		:: else -> break
		od
		i = 0
	}
}
