/* The gate of internal/wait/gate.go alone, with waiters that all wait for the same. Threads 1
 * to PUBLISHERS publish NEWS times each and wake all waiters. The others wait until all has been
 * published. If a wakeup misses a waiter, no later one makes up for it. */
#ifndef NEWS
#define NEWS 2
#endif
#ifndef PUBLISHERS
#define PUBLISHERS 1
#endif
#define DEATHS 0
#define FENCES
#define FENCE() fence()
#include "common.pml"

byte stored[PUBLISHERS + 1];         /* by publisher: how often it has published */
byte news[PUBLISHERS + 1];           /* how many of these stores have left its CPU's store buffer */

/* The thread's own stores become visible. */
inline settle() {
	if
	:: me <= PUBLISHERS -> news[me] = stored[me]
	:: else
	fi
}
/* fence.Heavy */
inline fence() {
#ifndef MUT_NO_FENCE
	news[1] = stored[1];
#if PUBLISHERS > 1
	news[2] = stored[2]
#endif
#else
	skip
#endif
}

#if PUBLISHERS > 1
#define LAST_NEWS (news[1] == NEWS && news[2] == NEWS)
#else
#define LAST_NEWS (news[1] == NEWS)
#endif
inline look() {
	if
	:: atomic { LAST_NEWS -> r = GOT }
	:: !LAST_NEWS
	fi
}
inline armAndFence(g) { arm(g); armedFence(g) }
#define AWAIT await
#define LOOK() look()
#define ARM(g) armAndFence(g)
#include "await.pml"

proctype Publisher(byte me) {
	do
	:: atomic { stored[me] < NEWS ->                /* fence.Publish64 */
		stored[me] = stored[me] + 1;
		if
		:: true
		:: settle()
		fi };
	   notifyAll(0)
	:: else -> break
	od;
	atomic { settle(); ended() }
}

proctype Waiter(byte me) {
	bit woken;
	mtype r = PENDING, stage = FIRST;
	await(0);
	atomic { assert(r == GOT || r == CANCELLED); r = 0; woken = 0; stage = FIRST; ended() }
}

init {
	atomic {
		run Publisher(1);
#if PUBLISHERS > 1
		run Publisher(2);
#else
		run Waiter(2);
#endif
		run Waiter(3);
#if THREADS > 3
		run Waiter(4)
#endif
	}
}
