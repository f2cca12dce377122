/* Semaphore of sync/semaphore.go. Threads 1 to GIVERS release GIVEN permits
 * each, at once; the others acquire TAKEN each, all of them together no more than
 * there are, and release what they have when GIVEBACK is set. A permit that is taken
 * by one that is killed is gone; it was counted for that one. */
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
byte gave;                           /* threads that have given */

/* All stores are read-modify-writes. */
inline settle() { skip }
inline killing(p) { skip }
inline stopping(p) { skip }
#define HOLDSNOT(p) (!(GIVING & BIT(p)) || (gave & BIT(p)))  /* with GIVEBACK others may have a permit */

/* semaphoreCore.take: to load and to exchange what is as it was loaded is one
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
