/* Semaphore of sync/semaphore.go. Threads 1 to GIVERS release GIVEN permits
 * each, in one call. The others acquire TAKEN each, together no more than
 * are released, and release each again if GIVEBACK is defined. A permit that a killed thread has taken
 * is lost: it is one of those that this thread would have acquired. */
#ifndef GIVERS
#define GIVERS 1
#endif
#ifndef GIVEN
#define GIVEN 2
#endif
#ifndef TAKEN
#define TAKEN 1
#endif
#define GIVING ((1 << GIVERS + 1) - 2)
#define SURVIVE (EVERYBODY & ~GIVING)
#define USEFUL (count > 0)           /* there is something that a look would find */
#include "common.pml"

byte count;                          /* semaphoreWords.count */
byte gave;                           /* threads that have released their permits */

/* All stores are read-modify-writes, so that no store waits in a buffer. */
inline settle() { skip }
inline killing(p) { skip }
inline stopping(p) { skip }
#define HOLDSNOT(p) (!(GIVING & BIT(p)) || (gave & BIT(p)))  /* with GIVEBACK others may have a permit */

/* semaphoreCore.take: the load and the compare-and-swap that succeeds after it are one
 * step. */
inline take() {
	if
	:: atomic { count > 0 -> count--; r = GOT }
	:: count == 0
	fi
}

/* semaphoreCore.give */
inline give(n) {
	atomic { count = count + n; gave = gave | BIT(me) };
	notify(0)
}

#define AWAIT acquire
#define LOOK() take()
#define ARM(g) arm(g)
#include "await.pml"

inline over() { woken = 0; stage = FIRST }

proctype Thread(byte me) STOPPABLE {
	byte i;
	bit woken;
	mtype r, stage = FIRST;
	{
		if
		:: me <= GIVERS -> give(GIVEN)
		:: else ->
			do
			:: i == TAKEN -> break
			:: atomic { i < TAKEN -> i++; r = PENDING };
			   acquire(0);
			   if                           /* permitWaiter.Pass */
#ifndef MUT_NO_PASS
			   :: atomic { woken && r != GOT -> passOn(0) }
#ifndef MUT_NO_MORE
			   :: atomic { woken && r == GOT && count > 0 -> passOn(0) }
#endif
#endif
			   :: else
			   fi;
#ifdef GIVEBACK
			   if
			   :: r == GOT -> give(1)
			   :: else
			   fi;
#endif
			   over()
			od
		fi
	} unless { KILLED };
	atomic { i = 0; r = 0; over(); ended() }
}

#define PIDOF(t) ((t) + 2)
#define MAYDIE(p) (!(GIVING & BIT(p)) || (gave & BIT(p)))
#include "deaths.pml"

init {
	atomic {
		run Killer(); run Announcer();
		run Thread(1); run Thread(2);
#if THREADS > 2
		run Thread(3);
#endif
#if THREADS > 3
		run Thread(4)
#endif
	}
}
