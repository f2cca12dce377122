/* The queue of ring/queue_core.go, queue_wait.go and queue.go. Threads 1 to
 * PUTTERS put MESSAGES each. The others get messages until the queue is shut down and
 * drained. Each thread is a process. Positions count from 0; a position consists of lap and slot. */
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef PUTTERS
#define PUTTERS 1
#endif
#ifndef MESSAGES
#define MESSAGES 2
#endif
#define GATES 2
#define ITEMS 0                      /* queueWords.items */
#define SPACE 1                      /* queueWords.space */
#define PUTTING ((1 << PUTTERS + 1) - 2)
#define GETTING (EVERYBODY & ~PUTTING)
#define SURVIVE GETTING              /* a getter must get the messages */
#define LEAVES GETTING
#define FENCES
#define FENCE() fence()
#include "common.pml"

mtype = { WRITING, READY, READING };
#define FREE 0

byte lap[SLOTS], own[SLOTS];         /* one word together with state */
mtype state[SLOTS];
byte message[SLOTS];
byte tail, head;
bit shut;
byte buffered;                       /* slots to whose word a store is still in a store buffer: READY by the
                                        putter that writes, or FREE by the getter that reads */
byte epochIsAsAsked, epochIsAsSwept; /* by thread: queueCore.adoptEpoch */
#define MOVED epochIsAsAsked = 0; epochIsAsSwept = 0

/* Not in the code: what the claims refer to. */
byte published;                      /* messages that are published, whether Put has returned or not */
byte got;                            /* messages that were got, set in the step that frees the slot. If the getter is
                                        killed after it and before Get returns, that one message is lost */
byte claimed[PUTTERS + 1];           /* by putter: how many of its messages were claimed */
bit said;                            /* a Get has returned ErrShutdown */

#define SLOT(p) ((p) % SLOTS)
#define LAP(p) ((p) / SLOTS)
#define NONE SLOTS
#define ID ((me - 1) * MESSAGES + i) /* number of the putter's next message */
#define PUTTER(id) ((id) / MESSAGES + 1)

/* The store to slot x becomes visible. */
inline drain(x) {
	assert(state[x] == WRITING || state[x] == READING);
	buffered = buffered & ~BIT(x);
	lap[x] = (state[x] == WRITING -> lap[x] : lap[x] + 1);
	state[x] = (state[x] == WRITING -> READY : FREE);
	own[x] = 0
}
inline drainAll(condition0, condition1) {
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
/* The thread's own stores become visible: before each of its atomic
 * read-modify-writes, and here at the latest when its put or get ends. */
inline settle() { drainAll(own[0] == me, own[1] == me) }
inline killing(p) {
	drainAll(own[0] == p, own[1] == p);
	epochIsAsAsked = epochIsAsAsked & ~BIT(p);
	epochIsAsSwept = epochIsAsSwept & ~BIT(p)
}
/* fence.Heavy */
inline fence() {
#ifndef MUT_NO_FENCE
	drainAll(true, true)
#else
	skip
#endif
}
inline armAndFence(g) { arm(g); armedFence(g) }

/* fence.Publish64, which stores READY or FREE to slot x: visible at once, or later. */
inline publish(x) {
	buffered = buffered | BIT(x);
	if
	:: true
	:: drain(x)
	fi
}

/* The state of the slot of position p, as a thread reads it. */
#define LAPS (lap[SLOT(p)])
#define IS(x) (state[SLOT(p)] == x)
#define HERE (LAPS == LAP(p))
#define AHEAD (LAPS > LAP(p))
#define BEHIND (LAPS < LAP(p))
#ifndef MUT_NO_REPAIR
#define DEADWRITER (IS(WRITING) && DEAD(own[SLOT(p)]))
#else
#define DEADWRITER 0
#endif
/* queueCore.repair */
inline repair() { lap[SLOT(p)] = LAPS + 1; state[SLOT(p)] = FREE; own[SLOT(p)] = 0 }

/* Between two calls. */
inline rest() { p = hint; s = NONE; shared = 0 }

/* queueCore.put: claimFree, publish. A load of a slot's word and its consequences are one step. So are these and a
 * load of the cursor, which is only a hint, or of shut, which never changes
 * back. */
inline put() {
	do                                              /* claimFree */
	:: atomic { HERE && IS(FREE) -> s = SLOT(p); state[s] = WRITING; own[s] = me; break }
	:: atomic { !(HERE && IS(FREE)) && shut -> r = SHUT; rest(); goto looked }
	:: atomic { (AHEAD || (HERE && !IS(FREE))) && !shut -> p++; p = (tail > p -> tail : p) }
	:: atomic { BEHIND && !shut && DEADWRITER -> repair() };
	   notify(SPACE)
	:: atomic { BEHIND && !shut && !DEADWRITER && !shared -> p = tail; shared = 1 }
	:: atomic { BEHIND && !shut && !DEADWRITER && shared -> rest(); goto looked }  /* ErrFull */
	od;
	if
#ifndef MUT_NO_SHUT_CHECK
	:: atomic { shut ->                             /* unclaim */
		state[s] = FREE; lap[s] = lap[s] + 1; own[s] = 0;
		r = SHUT; rest() };
	   notifyAll(ITEMS)
	:: atomic { !shut ->                            /* advance; the message */
#else
	:: atomic { true ->
#endif
		if
		:: p > tail -> tail = p
		:: true
		fi;
		message[s] = ID };
	   atomic {                                     /* fence.Publish64 */
		assert(state[s] == WRITING && own[s] == me && !said);
		published = published | BIT(ID);
		publish(s);
		hint = p + 1; r = GOT; rest()
	   }
	   notify(ITEMS);
	   atomic { settle() }
	fi
}

#ifndef MUT_NO_ADOPT
#define ORPHAN (state[k] == READING && DEAD(own[k]))
#else
#define ORPHAN 0
#endif
#ifndef MUT_DRAINED_OF_READY
#define EMPTY (state[k] == FREE)
#else
#define EMPTY (state[k] != READY)
#endif
#define SWEPT (epochIsAsSwept & BIT(me))
/* That there is nothing is one look here: empty.pml has the other looks, of which the last one only makes
 * a getter begin again. */
#define NOTHING (BEHIND || (HERE && (IS(FREE) || (IS(WRITING) && !DEADWRITER))))

/* queueCore.get: claimReady, release */
inline get() {
	do                                              /* claimReady */
	:: atomic { HERE && IS(READY) ->
		s = SLOT(p); state[s] = READING; own[s] = me;
		/* Messages are claimed in the order of their putter. Only a message of a dead getter is claimed again. */
		assert(message[s] % MESSAGES + 1 > claimed[PUTTER(message[s])]);
		claimed[PUTTER(message[s])] = message[s] % MESSAGES + 1;
		goto take }
	:: atomic { AHEAD || (HERE && IS(READING)) -> p++; p = (head > p -> head : p) }
	:: atomic { HERE && DEADWRITER -> repair() };
	   notify(SPACE)
	:: atomic { NOTHING && !shared -> p = head; shared = 1 }
	:: atomic { NOTHING && shared && SWEPT && !shut -> rest(); goto looked }  /* adoptOrFail: ErrEmpty */
	:: atomic { NOTHING && shared && SWEPT && shut -> k = 0; goto drained }
	:: atomic { NOTHING && shared && !SWEPT -> k = 0; epochIsAsAsked = epochIsAsAsked | BIT(me); break }
	od;
	do                                              /* adopt */
	:: atomic { ORPHAN -> own[k] = me; s = k; p = lap[k] * SLOTS + k; k = 0; goto take }
	:: atomic { !ORPHAN && k < SLOTS - 1 -> k++ }
	:: atomic { !ORPHAN && k == SLOTS - 1 ->
		k = 0;
#ifdef MUT_SWEPT_LATE
		break };
	   break
	od;
	atomic {
		epochIsAsAsked = epochIsAsAsked | BIT(me);
		if
		:: true ->
#endif
		epochIsAsSwept = epochIsAsSwept | (epochIsAsAsked & BIT(me));
		epochIsAsAsked = epochIsAsAsked & ~BIT(me);
		if
		:: shut -> goto drained
		:: else -> rest(); goto looked
		fi
#ifdef MUT_SWEPT_LATE
		fi
	}
#else
	   }
	od;
#endif
drained:
	do
	:: atomic { EMPTY && k < SLOTS - 1 -> k++ }
	:: atomic { EMPTY && k == SLOTS - 1 -> r = SHUT; said = 1; assert((published & ~got) == 0); rest(); k = 0; goto looked }
#ifndef MUT_LAST_SLOT_UNFENCED
	:: atomic { !EMPTY && s == NONE -> k = 0; s = SLOTS + 1; fence() }  /* and check once more */
	:: atomic { !EMPTY && s != NONE -> rest(); k = 0; goto looked }
#else
	:: atomic { !EMPTY -> rest(); k = 0; goto looked }
#endif
	od;
take:	atomic {                                        /* advance; get: the message */
		epochIsAsAsked = epochIsAsAsked & ~BIT(me);
		hint = p + 1;
		if
		:: p > head -> head = p
		:: true
		fi;
#ifdef MUT_FREE_EARLY
		publish(s)
	}
	atomic {
		k = message[s];
#else
		k = message[s]
	}
	atomic {                                        /* fence.Publish64 */
		assert(state[s] == READING && own[s] == me && !said);
		publish(s);
#endif
		assert((published & BIT(k)) && !(got & BIT(k)));
		got = got | BIT(k);
		r = GOT; k = 0; rest()
	}
	notify(SPACE);
	if
	:: !shut;                                       /* a load, which does not wait for the store buffer */
	   atomic { settle() }
	:: atomic { shut -> settle() };
#ifndef MUT_NO_LAST_WORD
	   notifyAll(ITEMS)
#endif
	fi
}

#define AWAIT putAwaiting
#define LOOK() put()
#define ARM(g) armAndFence(g)
#include "await.pml"

#define AWAIT getAwaiting
#define LOOK() get()
#define ARM(g) armAndFence(g)
#include "await.pml"

inline over() { woken = 0; stage = FIRST }

/* Queue.Put, MESSAGES times */
proctype Putter(byte me) {
	byte i, p, s = NONE, hint;
	bit shared, woken;
	mtype r, stage = FIRST;
	{
		do
		:: atomic { i < MESSAGES && r != SHUT && r != CANCELLED -> r = PENDING };
			putAwaiting(SPACE);
			if
#ifndef MUT_NO_PASS
			:: atomic { woken -> passOn(SPACE); over(); i++ }  /* putter.Pass */
#endif
			:: atomic { else -> over(); i++ }
			fi
		:: else -> break
		od
	} unless { KILLED };
	atomic { i = 0; p = 0; s = 0; hint = 0; shared = 0; r = 0; over(); ended() }
}

/* queueCore.mayHaveMore: k becomes 1 if there may be another message */
inline more() {
	do
	:: atomic { HERE && IS(READY) -> k = 1; break }
	:: atomic { AHEAD || (HERE && IS(READING)) ->
		p++; k++;
		if
		:: k == SLOTS -> k = 1; break           /* other getters have gone round meanwhile */
		:: else
		fi }
	:: atomic { else -> k = 0; break }
	od
}

/* Queue.Get, until it fails */
proctype Getter(byte me) {
	byte k, p, s = NONE, hint;
	bit shared, woken;
	mtype r, stage = FIRST;
	{
		do
		:: atomic { r != SHUT && r != CANCELLED && !(leaving & BIT(me)) -> r = PENDING };
			getAwaiting(ITEMS);
			if                              /* getter.Pass */
#ifndef MUT_NO_PASS
			:: atomic { woken && r != GOT -> passOn(ITEMS); over() }
#ifndef MUT_NO_MORE
			:: atomic { woken && r == GOT -> over() };
				more();
				if
				:: atomic { k -> passOn(ITEMS); k = 0; rest() }
				:: atomic { !k -> rest() }
				fi
#endif
#endif
			:: atomic { else -> over() }
			fi
		:: else -> break
		od
	} unless { KILLED };
	atomic { k = 0; p = 0; s = 0; hint = 0; shared = 0; r = 0; over(); ended() }
}

/* Queue.Shutdown, when all messages have been got, so that it does not wake a waiter that another thread
 * should have woken. With EARLY: at any time. After it, all threads end. */
proctype Closer(byte me) {
#ifndef EARLY
	atomic { (done & PUTTING) == PUTTING && (published & ~got) == 0 -> shut = 1 };
#else
	shut = 1;
#endif
	notifyAll(ITEMS);
	notifyAll(SPACE);
	done == EVERYBODY;
	assert((published & ~got) == 0)
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
			:: i <= PUTTERS -> run Putter(i)
			:: else -> run Getter(i)
			fi;
			i++
		:: else -> break
		od
		i = 0
	}
}
