/* The lock of internal/robust/mutex.go. */
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifndef OTHERS                       /* rounds of the threads other than 1 */
#define OTHERS ROUNDS
#endif
#ifndef ABANDONS
#define ABANDONS 0
#endif
#define FENCES
#define FENCE() fence()
#ifndef WANTED                       /* what AcquireWhile asks for */
#define WANTED true
#endif
/* There is something that a look would find. */
#ifndef MUT_NO_TAKE_BACK
#define USEFUL (owner == 0 || granted || DEAD(owner) || !WANTED)
#else
#define USEFUL (owner == 0 || (granted && (owner == PARTY(me) || DEAD(owner))) || DEAD(owner))
#endif
#include "common.pml"

byte owner, heir;     /* Words.word; both 0: free */
bit granted;          /* its bit G */
byte buffered;        /* the thread whose store of 0 to the word is still in its CPU's store buffer */
byte abandons = ABANDONS;

/* Not in the code: what the claims refer to. */
byte holder;          /* the thread that holds the lock; 0: none, or it was killed */
bit dirty;            /* the last holder was killed, or gave the lock back unrepaired */
byte fell;            /* parties that were killed while they held the lock */

#define ME PARTY(me)
#define SAME (owner == o && granted == g && heir == h)
#define FREE (o == 0 || (g && DEAD(o)))  /* Mutex.free, but for */
#if STOPS > 0 && !defined(MUT_NO_TAKE_BACK)
#define LATE (g && mayBeLate)        /* Mutex.overdue, which is true at some time */
#else
#define LATE false
#endif
#ifndef HOLDSNOT
#define HOLDSNOT(p) (holder == 0 || PARTY(holder) != (p))
#endif
#ifdef MUT_HEIR_DIED_OWNER
#undef FREE
#define FREE (o == 0)
#endif

/* The store becomes visible. */
inline drain() { buffered = 0; owner = 0; granted = 0; heir = 0 }

/* Before each atomic read-modify-write of a thread, its own store becomes
 * visible. */
inline settle() {
	if
	:: buffered == me -> drain()
	:: else
	fi
}
/* fence.Heavy */
inline fence() {
	atomic {
		if
#ifndef MUT_NO_FENCE
		:: buffered -> drain()
#endif
		:: else
		fi
	}
}

inline stopping(p) {                 /* its store buffer becomes empty */
	if
	:: buffered && PARTY(buffered) == p -> drain()
	:: else
	fi
}
inline killing(p) {
	if
	:: buffered && PARTY(buffered) == p -> drain()
	:: else
	fi;
	if
	:: holder && PARTY(holder) == p -> holder = 0; dirty = 1; fell = fell | BIT(p)
	:: else
	fi
}

/* Mutual exclusion: a thread that gets the lock is the only one that holds it, and what the lock guards
 * is consistent. */
inline enter() { assert(holder == 0 && !dirty); holder = me }

/* Mutex.tryAcquireSlow, together with TryAcquire; and acquirer.Try, which
 * also takes a lock that was handed over to its process. If the lock is not taken and its owner is alive, r
 * stays as it is. If the owner is dead, the word is read again: the owner may
 * have released the lock between the load of the word and its death. */
inline load() { atomic { o = owner; g = granted; h = heir } }
inline unload() { o = 0; g = 0; h = 0 }
inline attempt() {
#ifdef ONCE                          /* acquirer.Try, but not TryAcquire */
	if
	:: atomic { stage != FIRST && !WANTED -> r = SHUT; goto looked }
	:: stage == FIRST || WANTED
	fi;
#endif
	do
	:: load();
	   atomic {
		if
		:: FREE || LATE || (stage != FIRST && o == ME && g) ->
			settle();
			if
			:: SAME ->
				owner = ME; granted = 0;
#ifndef MUT_HEIR_OF_ITSELF
				heir = (claimed && heir == ME -> 0 : heir);
#endif
				enter();
				r = GOT; unload(); break
			:: else
			fi
#if defined(MUT_STALE_OWNER) || defined(MUT_DEAD_TWICE)
		:: else -> goto notFree
#else
		:: !FREE && !(stage != FIRST && o == ME && g) && !DEAD(o) -> unload(); break
		:: !FREE && DEAD(o) && owner == o && granted == g ->
			assert(fell & BIT(o));          /* ErrOwnerDied is true */
			r = DIED; unload(); break
		:: !FREE && DEAD(o) && (owner != o || granted != g)
#endif
		fi
	   }
#if defined(MUT_STALE_OWNER) || defined(MUT_DEAD_TWICE)
	   goto lookAgain;
notFree:   atomic {
		if
		:: !DEAD(o) -> unload(); break
#ifdef MUT_STALE_OWNER
		:: DEAD(o) && !g ->
#else
		:: DEAD(o) && (owner != o || granted != g)
		:: DEAD(o) && owner == o && granted == g ->
#endif
			assert(fell & BIT(o));
			r = DIED; unload(); break
#ifdef MUT_STALE_OWNER
		:: DEAD(o) && g -> unload(); break
#endif
		fi
	   }
lookAgain: skip
#endif
	od
}

/* acquirer.claim, when the acquirer has waited for long */
inline hurry() {
	atomic {
		if
#ifndef NO_HEIRS
		:: owner != 0 && (heir == 0 || DEAD(heir)) -> settle(); heir = ME; claimed = 1
#endif
		:: true
		fi
	}
}

/* acquirer.renounce */
inline renounce() {
	atomic {
		settle();
		if
		:: heir == ME -> heir = 0
		:: else
		fi;
		if
		:: owner == ME && granted -> granted = 0; enter(); r = GOT
		:: else
		fi;
		claimed = 0
	}
}

inline armAndHurry(g) { arm(g); hurry(); armedFence(g) }
#define AWAIT acquire
#define LOOK() attempt()
#define ARM(g) armAndHurry(g)
#include "await.pml"

/* Mutex.TryTakeOver, after load(). r == GOT: the thread holds the lock, whose owner, d, had died. */
inline tryTakeOver() {
	atomic {
		if
#ifndef MUT_TAKE_OVER_GRANTED
		:: o != 0 && !g && DEAD(o) && SAME ->
#else
		:: o != 0 && DEAD(o) && SAME ->
#endif
			settle();
			owner = ME; granted = 0;
			assert(holder == 0 && dirty && (fell & BIT(o)));
			holder = me; d = o;
			r = GOT
		:: else -> r = PENDING
		fi;
		unload()
	}
}

/* Mutex.Abandon, without its Gate.WakeAll */
inline abandon(d) {
	settle(); owner = d; granted = 0; holder = 0; r = 0; d = 0
}

/* Mutex.Release, after load() */
inline release() {
	if
	:: atomic { g || h != 0 -> load() };
		releaseSlow()
	:: atomic { else ->                             /* fence.Publish64 */
		assert(o == ME);
		unload();
		holder = 0; dirty = 0;
		if
		:: buffered = me
		:: owner = 0; granted = 0; heir = 0
		fi
	   }
	   notify(0);                                   /* Gate.Notify loads, and does not wait for the store buffer */
	   atomic { settle(); r = 0; d = 0 }
	fi
}

/* Mutex.releaseSlow, after load() */
inline releaseSlow() {
	do
	:: atomic {
		assert(o == ME && !g);
		if
		:: SAME ->
			if
			:: heir != 0 && !DEAD(heir) -> owner = heir; granted = 1
			:: else -> owner = 0
			fi;
			heir = 0; holder = 0; dirty = 0;
			unload(); r = 0; d = 0;
			break
		:: else -> load()
		fi
	   }
	od;
#ifndef MUT_NO_ROUSE
	rouse(0)
#else
	notify(0)
#endif
}

inline over() { woken = 0; claimed = 0; stage = FIRST }
#ifndef ONCE                         /* the rest is not for once.pml */
/* Lock.Acquire and Release. A thread that finds the owner dead gives up, or takes the
 * lock over as Lock.Recover does. */
proctype Thread(byte me) STOPPABLE {
	byte i, o, h, d;
	bit g, woken, claimed;
	mtype r, stage = FIRST;
	{
		do
		:: i == (me == 1 -> ROUNDS : OTHERS) -> break
		:: atomic { i < (me == 1 -> ROUNDS : OTHERS) -> i++; r = PENDING };
again:		   acquire(0);                          /* Mutex.AcquireWhile */
		   do
		   :: atomic { r != GOT && woken ->     /* acquirer.Pass */
			if
			:: !granted -> passOn(0)
			:: else
			fi;
			woken = 0 }
#ifndef MUT_NO_RENOUNCE
		   :: atomic { r != GOT && !woken && claimed -> renounce() }
#define LEFT !woken && !claimed
#else
#define LEFT !woken
#endif
		   :: atomic { r != GOT && LEFT -> over(); r = 0; break }
		   :: atomic { r == DIED && LEFT -> over(); load() };
			tryTakeOver();                  /* Mutex.TakeOver */
			if
			:: atomic { r == PENDING -> goto again }
			:: atomic { r == GOT -> load() };
				goto held
			:: atomic { r == GOT && abandons > 0 -> abandons--; abandon(d) };
				rouse(0);
				break
			fi
		   :: atomic { r == GOT -> over(); load() };
held:			release();
			break
		   od
		od
	} unless { KILLED };
	atomic { i = 0; o = 0; h = 0; d = 0; g = 0; r = 0; over(); ended() }
}

#define PIDOF(t) ((t) + 2)
#include "deaths.pml"

init {
	atomic {
#ifdef FALLEN                        /* party 4 was killed while it held the lock, long ago */
		owner = 4; killed = BIT(4); dead = BIT(4); fell = BIT(4); dirty = 1;
#endif
		run Killer(); run Announcer();
		run Thread(1); run Thread(2);
#if THREADS > 2
		run Thread(3)
#endif
	}
}
#endif
