/* AwaitAny of internal/wait/selection.go. Threads 1 and 2 release GIVEN0 and GIVEN1
 * permits, one in each call, of two semaphores, each with a gate of its own. The
 * others take one permit each: thread 3, and thread 4 if SELECTORS is 2, of whichever
 * semaphore, and thread 4 otherwise of the first one, by Room.Await. There are enough
 * permits of the first one for all of them. */
#define THREADS 4
#define GATES 2
#ifndef GIVEN0
#define GIVEN0 2
#endif
#ifndef GIVEN1
#define GIVEN1 1
#endif
#ifndef SELECTORS
#define SELECTORS 1
#endif
#define GIVING 6                     /* threads 1 and 2 */
#define SURVIVE (EVERYBODY & ~GIVING)
#define USEFUL (count[g] > 0)
#include "common.pml"

byte count[2];                       /* free permits */
byte gave;                           /* threads that have released all */

inline settle() { skip }
inline killing(p) { skip }
inline stopping(p) { skip }
#define HOLDSNOT(p) (!(GIVING & BIT(p)) || (gave & BIT(p)))

inline take(g) {
	if
	:: atomic { count[g] > 0 -> count[g]--; r = GOT; chosen = g }
	:: count[g] == 0
	fi
}

#define AWAIT acquire
#define LOOK() take(0)
#define ARM(g) arm(g)
#include "await.pml"

/* tryAll of case.go: it begins with any case. */
inline tryAll() {
	if
	:: first = 0
	:: first = 1
	fi;
	take(first);
	if
	:: r == PENDING -> take(1 - first)
	:: else
	fi
}

/* futex_waitv compares and queues one word after the other. It takes the thread out of
 * the queues one after the other, too, so that one sleep may consume a wake of each. */
inline leaveQueues() {
	queued[0] = queued[0] & ~BIT(me);
	atomic {
		queued[1] = queued[1] & ~BIT(me);
		up = up & ~BIT(me);
#ifndef MUT_NOTHING_MOVED
		wokenBy[1] = !(gateIsAsRead[1] & BIT(me));     /* Armed.moved */
#ifndef MUT_ONE_INDEX
		wokenBy[0] = !(gateIsAsRead[0] & BIT(me));
#else
		wokenBy[0] = !wokenBy[1] && !(gateIsAsRead[0] & BIT(me));  /* only the one that the kernel returns */
#endif
#endif
		forget();
		if
		:: stage == ARMED -> readEpoch()
		:: else
		fi
	}
}
inline sleepAny() {
	if
	:: atomic { UNMOVED(0) -> dozeOff(0) };
	   if
	   :: atomic { UNMOVED(1) -> dozeOff(1) };
	      if
	      :: up & BIT(me)
	      :: atomic { MAYCANCEL -> cancel() }
#if STOPS > 0 && !defined(MUT_NO_RELOOK)
	      :: mayBeLate && count[0] + count[1] > 0
#endif
	      fi
	   :: !UNMOVED(1)
	   fi
	:: !UNMOVED(0)
	:: atomic { !UNMOVED(0) && MAYCANCEL -> cancel() }
	fi;
	leaveQueues()
}

/* selection.passChosen and passAll */
inline passWakes() {
	if
	:: atomic { wokenBy[chosen] && r == GOT -> wokenBy[chosen] = 0 };
#ifndef MUT_NO_MORE
	   if
	   :: atomic { count[chosen] > 0 -> passOn(chosen) }
	   :: count[chosen] == 0
	   fi
#endif
	:: else
	fi;
	if
#ifndef MUT_NO_PASS
	:: atomic { r == GOT && wokenBy[1 - chosen] && first == chosen -> passOn(1 - chosen) }
#endif
	:: r != GOT ->
	   if
	   :: atomic { wokenBy[0] -> passOn(0) }
	   :: !wokenBy[0]
	   fi;
	   if
	   :: atomic { wokenBy[1] -> passOn(1) }
	   :: !wokenBy[1]
	   fi
	:: else
	fi
}

inline awaitAny() {
	do
	:: tryAll();
	   if
	   :: r != PENDING -> break
	   :: atomic { r == PENDING && stage == LAST -> r = CANCELLED; break }
	   :: atomic { r == PENDING && stage == FIRST -> stage = ARMED; readEpoch() }
	   :: r == PENDING && stage == ARMED -> sleepAny()
	   fi;
#ifdef MUT_NO_REARM
	   if
	   :: armedOnce
	   :: !armedOnce ->
#endif
	      arm(0);
	      arm(1);
#ifdef MUT_NO_REARM
	      armedOnce = 1
	   fi;
	   atomic {
		gateIsAsRead[0] = gateIsAsRead[0] | BIT(me);
		gateIsAsRead[1] = gateIsAsRead[1] | BIT(me)
	   }
#endif
	od;
	atomic { forget() };
	passWakes()
}

proctype Thread(byte me) STOPPABLE {
	byte i, chosen;
	bit first, woken;
	bit wokenBy[2];
#ifdef MUT_NO_REARM
	bit armedOnce;
#endif
	mtype r, stage = FIRST;
	{
		if
		:: me <= 2 ->
			do
			:: i == (me == 1 -> GIVEN0 : GIVEN1) -> break
			:: else ->
				atomic { count[me - 1] = count[me - 1] + 1; i++; gave = gave | (i == (me == 1 -> GIVEN0 : GIVEN1) -> BIT(me) : 0) };
				notify(me - 1)
			od
		:: me > 2 && me < 3 + SELECTORS ->
			r = PENDING;
			awaitAny()
		:: else ->
			r = PENDING;
			acquire(0);
			if                           /* permitWaiter.Pass */
			:: atomic { woken && r != GOT -> passOn(0) }
			:: atomic { woken && r == GOT && count[0] > 0 -> passOn(0) }
			:: else
			fi
		fi
	} unless { KILLED };
	atomic { i = 0; r = 0; chosen = 0; first = 0; woken = 0; wokenBy[0] = 0; wokenBy[1] = 0; stage = FIRST; ended() }
}

#define PIDOF(t) ((t) + 2)
#define MAYDIE(p) (!(GIVING & BIT(p)) || (gave & BIT(p)))
#include "deaths.pml"

init {
	atomic {
		run Killer(); run Announcer();
		run Thread(1); run Thread(2);
		run Thread(3); run Thread(4)
	}
}
