/* BoundedSemaphore of sync/bounded_semaphore.go, with PERMITS permits. Each thread
 * is a process, and acquires and releases a permit ROUNDS times. */
#ifndef PERMITS
#define PERMITS 2
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#include "common.pml"

byte own[PERMITS];                   /* the holder of each permit */
byte isAsSeen[PERMITS];              /* the threads since whose last look the permit has not changed */

/* Not in the code: what the claims refer to. */
byte sawNone;                        /* threads in whose find there was a moment without a free permit */

/* All stores are read-modify-writes, so that no store waits in a buffer. */
inline settle() { skip }
inline killing(p) { skip }

#ifndef MUT_DEATH_KEEPS
#define ISFREE(x) (own[x] == 0 || DEAD(own[x]))  /* boundedCore.isFree */
#else
#define ISFREE(x) (own[x] == 0)
#endif
#if PERMITS == 1
#define NONEFREE !ISFREE(0)
#else
#define NONEFREE (!ISFREE(0) && !ISFREE(1))
#endif

/* boundedCore.change */
inline change(x, who) {
	own[x] = who;
	isAsSeen[x] = 0;
	if
	:: NONEFREE -> sawNone = EVERYBODY
	:: else
	fi
}

/* boundedCore.find, to take a permit, or only to see whether there is one. found says
 * whether there is one. If it finds none, it stops after two rounds without a change in between. */
#define AT ((me + k) % PERMITS)
inline find(taking) {
	do
	:: atomic {
		if
		:: k == 0 && round == 0 -> sawNone = (NONEFREE -> sawNone | BIT(me) : sawNone & ~BIT(me)); same = 0
		:: else
		fi;
		if
		:: ISFREE(AT) ->
			if
			:: taking -> mine = AT; change(mine, me); r = GOT
			:: else
			fi;
			found = 1; k = 0; round = 0; same = 0; break
		:: else ->
			if
			:: !(isAsSeen[AT] & BIT(me)) -> same = 0
			:: else
			fi;
			isAsSeen[AT] = isAsSeen[AT] | BIT(me);
			k++;
			if
			:: k == PERMITS && same ->
				assert(sawNone & BIT(me));  /* ErrNoPermit is true */
				found = 0; k = 0; round = 0; same = 0; break
			:: k == PERMITS && !same ->
#ifdef MUT_ONE_ROUND
				assert(sawNone & BIT(me));
				found = 0; k = 0; round = 0; same = 0; break
#endif
				k = 0; round = 1; same = 1
			:: else
			fi
		fi
	   }
	od
}

#define AWAIT acquire
#define LOOK() find(1)
#define ARM(g) arm(g)
#include "await.pml"

/* BoundedSemaphore.Acquire and Release */
inline over() { woken = 0; stage = FIRST; found = 0 }
proctype Thread(byte me) {
	byte i, k, mine;
	bit woken, found, round, same;
	mtype r, stage = FIRST;
	{
		do
		:: i == ROUNDS -> break
		:: atomic { i < ROUNDS -> i++; r = PENDING };
		   acquire(0);
		   if                                   /* permitWaiter.Pass */
#ifndef MUT_NO_PASS
		   :: atomic { woken && r != GOT -> passOn(0) }
#ifndef MUT_NO_MORE
		   :: woken && r == GOT ->
			find(0);
			if
			:: atomic { found -> passOn(0) }
			:: else
			fi
#endif
#endif
		   :: else
		   fi;
		   if
		   :: atomic { r == GOT -> over(); assert(own[mine] == me); change(mine, 0); mine = 0; r = 0 };
			notify(0)
		   :: atomic { r != GOT -> over(); r = 0 }
		   fi
		od
	} unless { KILLED };
	atomic { i = 0; k = 0; mine = 0; r = 0; round = 0; same = 0; over(); ended() }
}

#define PIDOF(t) ((t) + 2)
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
