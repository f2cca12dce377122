/* The leases of ring/queue_lease.go, with the queue of ring/queue_core.go as far as they need it: what plain
 * stores and their fences do is in queue.pml. Threads 1 to PUTTERS put MESSAGES each. The others lease until the queue
 * is shut down and drained. Each thread is a process.
 * BEGUN begins with a lease of slot 0, and with slot 1 free in its second lap. The first getter has the lease, and
 * keeps it until the putters have put all messages. */
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef PUTTERS
#define PUTTERS 1
#endif
#ifndef MESSAGES
#define MESSAGES 2
#endif
#ifndef RETURNS                      /* how often a lease is given back */
#define RETURNS 1
#endif
#define GATES 2
#define ITEMS 0                      /* queueWords.items */
#define SPACE 1                      /* queueWords.space */
#define PUTTING ((1 << PUTTERS + 1) - 2)
#define GETTING (EVERYBODY & ~PUTTING)
#define SURVIVE GETTING
#define LEAVES GETTING
#include "common.pml"
inline settle() { skip }

mtype = { WRITING, READY, LEASED, RETURNED };
#define FREE 0

byte lap[SLOTS], own[SLOTS];         /* one word together with state */
mtype state[SLOTS];
byte message[SLOTS];
byte tail, head;
bit shut;
byte returns = RETURNS;
byte frontIsAsAsked, frontIsAsSeen;  /* by thread: queueCore.seenFront */
byte epochIsAsAsked, epochIsAsSeen;  /* by thread: queueCore.seenEpoch */
#define MOVED epochIsAsAsked = 0; epochIsAsSeen = 0

/* Not in the code: what the claims refer to. */
byte published;                      /* messages that are published */
byte finished;                       /* messages that are done */
byte claimed[PUTTERS + 1];           /* by putter: how many of its messages were claimed in order */
byte owed[THREADS + 1];              /* by getter: slots that were returned, with front moved, before its call */
byte told;                           /* such slots */
bit said;                            /* "shut down" was returned */

#ifdef BEGUN
#define OVER 1                       /* laps that are over */
#else
#define OVER 0
#endif
#define SLOT(p) ((p) % SLOTS)
#define LAP(p) ((p) / SLOTS)
#define PUTTER(id) ((id) / MESSAGES + 1)

inline killing(p) {
	epochIsAsAsked = epochIsAsAsked & ~BIT(p);
	epochIsAsSeen = epochIsAsSeen & ~BIT(p);
	frontIsAsAsked = frontIsAsAsked & ~BIT(p);
	frontIsAsSeen = frontIsAsSeen & ~BIT(p);
	owed[p] = 0
}

#define LAPS (lap[SLOT(p)])
#define IS(x) (state[SLOT(p)] == x)
#define KEPT (IS(LEASED) || IS(RETURNED))
#define HERE (LAPS == LAP(p))
#define AHEAD (LAPS > LAP(p))
#define BEHIND (LAPS < LAP(p))
#define DEADWRITER (IS(WRITING) && DEAD(own[SLOT(p)]))
#define USABLE(q) ((state[SLOT(q)] == FREE && lap[SLOT(q)] == LAP(q)) || \
	(lap[SLOT(q)] < LAP(q) && state[SLOT(q)] == WRITING && DEAD(own[SLOT(q)])))
#define PASSED(q) ((state[SLOT(q)] == LEASED || state[SLOT(q)] == RETURNED) || lap[SLOT(q)] >= LAP(q))
/* queueCore.freeBeyond: how many slots may be skipped */
#ifdef MUT_SKIP_BLIND
#define BEYOND 1
#elif SLOTS == 1
#define BEYOND 0
#elif SLOTS == 2
#define BEYOND (USABLE(p + 1) -> 1 : 0)
#else
#define BEYOND (USABLE(p + 1) -> 1 : (PASSED(p + 1) && USABLE(p + 2) -> 2 : 0))
#endif

inline setFree(x) {
	lap[x] = lap[x] + 1; state[x] = FREE; own[x] = 0
}
/* queueCore.freed */
inline freed() {
	notify(SPACE);
	if
	:: !shut
	:: shut;
#ifndef MUT_NO_LAST_WORD
	   notifyAll(ITEMS)
#endif
	fi
}

/* A slot is skipped, unless another putter or its holder was faster. A putter skips only slots before one
 * that was free when it looked. When that is in use by then, it looks again. Otherwise it would go round and
 * round a queue in which all slots are kept: no slot comes to a lap for which there are no messages. */
#define NEXT (lap[SLOT(p)] + 1 == LAP(p))
#define MAYSKIP (NEXT && KEPT && (skips || BEYOND))
inline skipOne() {
#ifndef MUT_SKIP_ON
	skips--;
#endif
	if
	:: NEXT && KEPT -> lap[SLOT(p)] = LAP(p); assert(LAP(p) <= PUTTERS * MESSAGES + OVER)
	:: else
	fi
}

inline rest() { p = hint; s = 0; shared = 0; skips = 0 }

/* queueCore.put: claimFree, publish */
inline put(id) {
	do
	:: atomic { HERE && IS(FREE) -> s = SLOT(p); state[s] = WRITING; own[s] = me; break }
	:: atomic { !(HERE && IS(FREE)) && shut -> r = SHUT; rest(); goto looked }
	:: atomic { (AHEAD || (HERE && !IS(FREE))) && !shut -> p++; p = (tail > p -> tail : p) }
	:: atomic { BEHIND && !shut && DEADWRITER -> setFree(SLOT(p)) };
	   freed()
#ifndef MUT_NO_SKIP
	:: atomic { BEHIND && !shut && NEXT && KEPT && !skips && BEYOND -> skips = BEYOND };  /* maySkip; then the CAS */
	   atomic { skipOne() }
	:: atomic { BEHIND && !shut && NEXT && KEPT && skips -> skipOne() }
	:: atomic { BEHIND && !shut && !DEADWRITER && !MAYSKIP && !shared -> p = tail; shared = 1 }
	:: atomic { BEHIND && !shut && !DEADWRITER && !MAYSKIP && shared -> rest(); goto looked }  /* ErrFull */
#else
	:: atomic { BEHIND && !shut && !DEADWRITER && !shared -> p = tail; shared = 1 }
	:: atomic { BEHIND && !shut && !DEADWRITER && shared -> rest(); goto looked }
#endif
	od;
	if
	:: atomic { shut -> setFree(s); r = SHUT; rest() };     /* unclaim */
	   freed()
	:: atomic { !shut ->                            /* advance; the message */
		if
		:: p > tail -> tail = p
		:: true
		fi;
		message[s] = id };
	   atomic {
		assert(state[s] == WRITING && own[s] == me && !said);
		published = published | BIT(id);
		state[s] = READY; own[s] = 0;
		hint = p + 1; r = GOT; rest()
	   };
	   notify(ITEMS)
	fi
}

#ifndef MUT_NO_ADOPT
#define CAMEBACK (state[k] == RETURNED || (state[k] == LEASED && DEAD(own[k])))
#else
#define CAMEBACK (state[k] == RETURNED)
#endif
#ifndef MUT_DRAINED_OF_LEASED
#define EMPTY (state[k] == FREE)
#else
#define EMPTY (state[k] == FREE || state[k] == LEASED)
#endif
#define SEEN ((epochIsAsSeen & frontIsAsSeen) & BIT(me))
#define NOTHING (BEHIND || (HERE && (IS(FREE) || (IS(WRITING) && !DEADWRITER))))
inline takeBack(x) {
	told = told & ~BIT(x);
	owed[1] = owed[1] & ~BIT(x);
	owed[2] = owed[2] & ~BIT(x);
#if THREADS > 2
	owed[3] = owed[3] & ~BIT(x);
#endif
#if THREADS > 3
	owed[4] = owed[4] & ~BIT(x)
#endif
}

/* queueCore.claimLease: claimReady, claimReadySlow. The lease is that of slot s. */
inline lease() {
	atomic { owed[me] = told };
#ifndef MUT_NO_FRONT
	goto front;
#endif
walk:	do
	:: atomic { HERE && IS(READY) ->
		s = SLOT(p);
		assert(!owed[me]);
		assert(message[s] % MESSAGES + 1 > claimed[PUTTER(message[s])]);
		claimed[PUTTER(message[s])] = message[s] % MESSAGES + 1;
		state[s] = LEASED; own[s] = me;
		hint = p + 1;
		if
		:: p > head -> head = p
		:: true
		fi;
		goto took }
	:: atomic { AHEAD || (HERE && KEPT) -> p++; p = (head > p -> head : p) }
	:: atomic { HERE && DEADWRITER -> setFree(SLOT(p)) };
	   freed()
	:: atomic { NOTHING && !shared -> p = head; shared = 1 }
	:: atomic { NOTHING && shared && SEEN && !shut -> rest(); goto looked }  /* ErrEmpty */
	:: atomic { NOTHING && shared && SEEN && shut -> k = 0; goto drained }
	:: atomic { NOTHING && shared && !SEEN -> goto front }
	od;
front:	if                                              /* takeBack */
	:: atomic { SEEN -> goto walk }
	:: atomic { !SEEN -> k = 0; epochIsAsAsked = epochIsAsAsked | BIT(me); frontIsAsAsked = frontIsAsAsked | BIT(me) }
	fi;
	do                                              /* adopt */
#ifdef MUT_ADOPT_ONCE
	:: atomic { CAMEBACK -> was = lap[k] };
	   if
	   :: atomic { lap[k] != was && k < SLOTS - 1 -> was = 0; k++ }
	   :: atomic { lap[k] == was || k == SLOTS - 1 -> was = 0 }
	   fi
#endif
	:: atomic { CAMEBACK ->
		own[k] = me; state[k] = LEASED; s = k;
		takeBack(k);
		k = 0; goto took }
	:: atomic { !CAMEBACK && k < SLOTS - 1 -> k++ }
	:: atomic { !CAMEBACK && k == SLOTS - 1 ->
		k = 0;
		epochIsAsSeen = epochIsAsSeen | (epochIsAsAsked & BIT(me));
		frontIsAsSeen = frontIsAsSeen | (frontIsAsAsked & BIT(me));
		epochIsAsAsked = epochIsAsAsked & ~BIT(me);
		frontIsAsAsked = frontIsAsAsked & ~BIT(me);
		if
		:: shared && NOTHING && !shut -> rest(); goto looked
		:: shared && NOTHING && shut -> goto drained
		:: else -> goto walk
		fi }
	od;
drained:
	do
	:: atomic { EMPTY && k < SLOTS - 1 -> k++ }
	:: atomic { EMPTY && k == SLOTS - 1 -> r = SHUT; said = 1; assert((published & ~finished) == 0); rest(); k = 0; goto looked }
	:: atomic { !EMPTY -> rest(); k = 0; goto looked }
	od;
took:	atomic {
		epochIsAsAsked = epochIsAsAsked & ~BIT(me);
		frontIsAsAsked = frontIsAsAsked & ~BIT(me);
		k = s; rest(); s = k; k = 0; r = GOT
	}
}

/* Lease.Done of the lease of slot s */
inline finish() {
	atomic {                                        /* endLease */
		assert(state[s] == LEASED && own[s] == me && !said);
		assert((published & BIT(message[s])) && !(finished & BIT(message[s])));
		finished = finished | BIT(message[s]);
#ifdef MUT_STORE_BLIND
		lap[s] = was;
#endif
		setFree(s); s = 0
	};
	freed()
}

/* Lease.Return */
inline giveBack() {
	atomic { assert(state[s] == LEASED && own[s] == me);
#ifdef MUT_FRONT_FIRST
		frontIsAsAsked = 0; frontIsAsSeen = 0 };
	atomic { state[s] = RETURNED; own[s] = 0; told = told | BIT(s); s = 0 };
#else
		state[s] = RETURNED; own[s] = 0 };
	atomic {                                        /* front.Add */
		if
		:: state[s] == RETURNED -> told = told | BIT(s)
		:: else                                 /* another getter has taken it already */
		fi;
		frontIsAsAsked = 0; frontIsAsSeen = 0; s = 0 };
#endif
#ifndef MUT_RETURN_SILENT
	notify(ITEMS)
#endif
}

#define AWAIT putAwaiting
#define LOOK() put(number)
#define ARM(g) arm(g)
#include "await.pml"

#define AWAIT leaseAwaiting
#define LOOK() lease()
#define ARM(g) arm(g)
#include "await.pml"

inline over() { woken = 0; stage = FIRST }

proctype Putter(byte me) {
	byte number, i, p, s, hint;
	byte skips;
	bit shared, woken;
	mtype r, stage = FIRST;
	{
		do
		:: atomic { i < MESSAGES && r != SHUT && r != CANCELLED -> r = PENDING; number = (me - 1) * MESSAGES + i };
			putAwaiting(SPACE);
			if
			:: atomic { woken -> passOn(SPACE); over(); i++ }
			:: atomic { else -> over(); i++ }
			fi
		:: else -> break
		od
	} unless { KILLED };
	atomic { number = 0; i = 0; p = 0; s = 0; hint = 0; shared = 0; skips = 0; r = 0; over(); ended() }
}

/* queueCore.mayHaveMore */
inline more() {
	if
	:: atomic { !SEEN -> k = 1 }
	:: SEEN;
	   do
	   :: atomic { HERE && IS(READY) -> k = 1; break }
	   :: atomic { AHEAD || (HERE && KEPT) ->
		p++; k++;
		if
		:: k == SLOTS -> k = 1; break
		:: else
		fi }
	   :: atomic { else -> k = 0; break }
	   od
	fi
}

proctype Getter(byte me) {
	byte k, p, s, hint, number, was;
	byte skips;
	bit shared, woken;
	mtype r, stage = FIRST;
	{
#ifdef BEGUN
		if
		:: atomic { me == PUTTERS + 1 -> (done & PUTTING) == PUTTING };
		   finish()
		:: me != PUTTERS + 1
		fi;
#endif
		do
		:: atomic { r != SHUT && r != CANCELLED && !(leaving & BIT(me)) -> r = PENDING };
			leaseAwaiting(ITEMS);
			atomic { was = lap[s]; number = s };
			if                              /* getter.Pass */
			:: atomic { woken && r != GOT -> passOn(ITEMS); over() }
			:: atomic { woken && r == GOT -> over() };
				more();
				if
				:: atomic { k -> passOn(ITEMS); k = 0; rest() }
				:: atomic { !k -> rest() }
				fi
			:: atomic { else -> over() }
			fi;
			atomic { s = number; number = 0 };
			if
			:: atomic { r == GOT -> skip };
#ifdef LONG
				message[s] != 0 || (done & PUTTING) == PUTTING;
#endif
				if
				:: finish()
				:: atomic { returns > 0 -> returns-- };
				   giveBack();
				   if                   /* it goes on, or it is the last that it does */
				   :: true
				   :: atomic { SURVIVE & ~(done | leaving | BIT(me)) -> leaving = leaving | BIT(me); r = CANCELLED }
				   fi
				fi
			:: else
			fi
		:: else -> break
		od
	} unless { KILLED };
	atomic { number = 0; was = 0; k = 0; p = 0; s = 0; hint = 0; shared = 0; skips = 0; r = 0; over(); ended() }
}

proctype Closer(byte me) {
#ifndef EARLY
	atomic { (done & PUTTING) == PUTTING && (published & ~finished) == 0 -> shut = 1 };
#else
	shut = 1;
#endif
	notifyAll(ITEMS);
	notifyAll(SPACE);
	done == EVERYBODY;
	assert((published & ~finished) == 0)
}

#define PIDOF(t) ((t) + 3)
#include "deaths.pml"

init {
	byte i;
	atomic {
#ifdef BEGUN
		state[0] = LEASED; own[0] = PUTTERS + 1; message[0] = PUTTERS * MESSAGES; published = BIT(PUTTERS * MESSAGES);
		lap[1] = 1; tail = 2; head = 2;
#endif
		run Killer(); run Announcer(); run Closer(0);
		i = 1;
		do
		:: i <= THREADS ->
			if
			:: i <= PUTTERS -> run Putter(i)
			:: else -> run Getter(i)
			fi;
			i++
		:: else -> break
		od
		i = 0
	}
}
