/* TaskDone and Join of ring/join.go, in a joinable queue of two slots in which two tasks wait. Threads 1 and 2
 * take tasks, put up to FOLLOW others that follow from them, and mark them done. Thread 3 joins. Each thread is a process.
 * The cursors are left out: what counts is the slots' words, and that a free slot is in a later lap. How tasks wait
 * for getters is in lease.pml and queue.pml. All stores here are atomic operations, so there is no store buffer.
 *
 * Claims:
 *   - Join returns nil only if at some moment since it was called there was no task.
 *   - Join does not wait for ever: the tasks of a process that died are done by the other.
 *   - A task is marked done by the process that has it.
 */
#define SLOTS 2
#ifndef FOLLOW
#define FOLLOW 1
#endif
#define SURVIVE 6                    /* threads 1 and 2 */
#define LEAVES 0
#include "common.pml"
inline settle() { skip }
inline killing(p) { skip }

mtype = { READY, TAKEN, WRITING };
#define FREE 0

mtype state[SLOTS];
byte own[SLOTS], lap[SLOTS];         /* one word together with state */
bit joined;                          /* queueJoined */
byte follow = FOLLOW;

/* Not in the code: what the claims refer to. */
byte wasIdle;                        /* threads during whose Join there was a moment without a task */

#define GIVENUP(x) (state[x] == WRITING && DEAD(own[x]))
#define EMPTY(x) (state[x] == FREE || GIVENUP(x))
#define NOTASK(x) (state[x] == FREE || (state[x] == WRITING && (killed & BIT(own[x]))))
#ifndef MUT_NO_ADOPT
#define TAKABLE(x) (state[x] == READY || (state[x] == TAKEN && DEAD(own[x])))
#else
#define TAKABLE(x) (state[x] == READY)
#endif

inline setFree(x) { state[x] = FREE; own[x] = 0; lap[x] = lap[x] + 1 }
inline note() {
	if
	:: NOTASK(0) && NOTASK(1) -> wasIdle = EVERYBODY
	:: else
	fi
}

/* queueCore.freed, freedLast and drained */
inline freed() {
#ifndef MUT_FREED_SILENT
	if
	:: !joined
	:: joined;
	   if
	   :: EMPTY(0);
	      if
	      :: EMPTY(1);
		 notifyAll(0)
	      :: !EMPTY(1)
	      fi
	   :: !EMPTY(0)
	   fi
	fi
#else
	skip
#endif
}

/* Get, and Put of what follows, and TaskDone */
inline work() {
	do
	:: atomic { TAKABLE(0) -> k = 0; state[k] = TAKEN; own[k] = me };
	   rest()
	:: atomic { TAKABLE(1) -> k = 1; state[k] = TAKEN; own[k] = me };
	   rest()
	:: atomic { EMPTY(0) && EMPTY(1) -> k = 0; break }
	od
}
inline rest() {
	if
	:: atomic { follow > 0 && EMPTY(1 - k) ->
		if
		:: GIVENUP(1 - k) -> setFree(1 - k)
		:: else
		fi;
		follow--; state[1 - k] = WRITING; own[1 - k] = me };
	   atomic { assert(state[1 - k] == WRITING && own[1 - k] == me); state[1 - k] = READY; own[1 - k] = 0 }
	:: true
	fi;
#ifdef MUT_DRAINED_FIRST
	if
	:: atomic { EMPTY(1 - k) -> last = 1 }
	:: atomic { !EMPTY(1 - k) -> last = 0 }
	fi;
#endif
	atomic {                     /* queueCore.finish */
		assert(state[k] == TAKEN && own[k] == me);
		setFree(k);
		note()
	};
#ifdef MUT_DRAINED_FIRST
	if
	:: atomic { joined && last -> last = 0 };
	   notifyAll(0)
	:: atomic { !(joined && last) -> last = 0 }
	fi
#else
	freed()
#endif
}

/* queueCore.idle */
inline idle() {
	do
	:: atomic { k < SLOTS && EMPTY(k) ->
		if
		:: GIVENUP(k) -> setFree(k)
		:: else
		fi;
		laps = laps + lap[k]; k++ }
	:: atomic { k < SLOTS && !EMPTY(k) -> k = 0; laps = 0; before = 0; again = 0; goto looked }
#ifdef MUT_ONE_LOOK
	:: atomic { k == SLOTS ->
#elif defined(MUT_NO_LAPS)
	:: atomic { k == SLOTS && again ->
#else
	:: atomic { k == SLOTS && again && laps == before ->
#endif
		assert(wasIdle & BIT(me));
		k = 0; laps = 0; before = 0; again = 0; r = GOT; goto looked }
#ifndef MUT_ONE_LOOK
#ifdef MUT_NO_LAPS
	:: atomic { k == SLOTS && !again ->
#else
	:: atomic { k == SLOTS && !(again && laps == before) ->
#endif
		before = laps; laps = 0; k = 0; again = 1 }
#endif
	od
}

#define AWAIT awaitIdle
#define LOOK() idle()
#define ARM(g) arm(g)
#include "await.pml"

proctype Thread(byte me) STOPPABLE {
	byte k, laps, before;
	bit woken, again, last;
	mtype r, stage = FIRST;
	{
		if
		:: me < 3 -> work()
		:: me == 3 ->
		   atomic { r = PENDING; wasIdle = wasIdle & ~BIT(me); note() };
#ifndef MUT_NO_FLAG
		   joined = 1;
#endif
		   awaitIdle(0);
		   assert(r == GOT || r == CANCELLED)
		fi
	} unless { KILLED };
	atomic { k = 0; laps = 0; before = 0; woken = 0; again = 0; last = 0; r = 0; stage = FIRST; ended() }
}

#define PIDOF(t) ((t) + 2)
#include "deaths.pml"

init {
	atomic {
		state[0] = READY; state[1] = READY;
		run Killer(); run Announcer();
		run Thread(1); run Thread(2); run Thread(3)
	}
}
