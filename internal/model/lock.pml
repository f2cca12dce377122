/* The lock of internal/robust/mutex.go. */
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifndef OTHERS                       /* rounds of all but thread 1 */
#define OTHERS ROUNDS
#endif
#ifndef ABANDONS
#define ABANDONS 0
#endif
#include "common.pml"

byte owner, heir;     /* Words.word; both 0: free */
bit granted;          /* its G */
byte buffered;        /* the thread whose store of 0 to the word is in its CPU's store buffer */
byte abandons = ABANDONS;

/* What is true, whatever the word says. */
byte holder;          /* the thread that holds the lock; killed: none */
bit dirty;            /* whoever held it last was killed, or gave it back unrepaired */
byte fell;            /* parties that were killed holding it */

#define ME PARTY(me)
#define SAME (owner == o && granted == g && heir == h)
#define FREE (o == 0 || (g && DEAD(o)))  /* Mutex.free */
#ifdef MUT_HEIR_DIED_OWNER
#undef FREE
#define FREE (o == 0)
#endif

/* The store becomes visible. */
inline drain() { buffered = 0; owner = 0; granted = 0; heir = 0 }

/* What comes before each atomic read-modify-write of a thread: its own store
 * is visible. */
inline settle() {
	if
	:: buffered == me -> drain()
	:: else
	fi
}
proctype StoreBuffer() {
end:	do
	:: atomic { buffered -> drain() }
	od
}

/* fence.Heavy */
inline fence() {
	atomic {
		if
		:: buffered -> drain()
		:: else
		fi
	}
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

/* Mutual exclusion: whoever gets the lock is alone with it, and what it guards
 * is whole. */
inline enter() { assert(holder == 0 && !dirty); holder = me }

/* Mutex.tryAcquireSlow, with which TryAcquire is one, and acquirer.Try, which
 * also takes what was handed over. */
inline load() { atomic { o = owner; g = granted; h = heir } }
inline attempt(waits) {
	do
	:: load();
	   atomic {
		if
		:: FREE || (waits && o == ME && g) ->
			settle();
			if
			:: SAME ->
				owner = ME; granted = 0;
#ifndef MUT_HEIR_OF_ITSELF
				if
				:: waits && heir == ME -> heir = 0
				:: else
				fi;
#endif
				enter();
				r = GOT; break
			:: else
			fi
		:: else ->
			if
			:: !DEAD(o) -> break            /* and r stays */
#ifndef MUT_STALE_OWNER
			:: DEAD(o) && (owner != o || granted != g)  /* look again */
			:: DEAD(o) && owner == o && granted == g ->
#else
			:: DEAD(o) ->
#endif
				assert(fell & BIT(o));  /* ErrOwnerDied is true */
				r = DIED; break
			fi
		fi
	   }
	od;
	atomic { o = 0; g = 0; h = 0 }
}
inline look() { attempt(1) }

/* acquirer.hurry, when patience has ended. */
inline armed() {
	atomic {
		if
#ifndef NO_HEIRS
		:: owner != 0 && !(granted && owner == ME) && (heir == 0 || DEAD(heir)) ->
			settle(); heir = ME; claimed = 1
#ifdef MUT_HEIR_OF_ITSELF
		:: owner != 0 && granted && owner == ME && (heir == 0 || DEAD(heir)) ->
			settle(); heir = ME; claimed = 1
#endif
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

/* Mutex.AcquireWhile */
inline acquire() {
	r = HELD;
	attempt(0);
	if
	:: r == HELD ->
		await(0);
#ifndef MUT_NO_PASS
		if                                      /* acquirer.Pass */
		:: woken && r != GOT -> passOn(0)
		:: else
		fi;
#endif
		if
#ifndef MUT_NO_RENOUNCE
		:: r != GOT && claimed -> renounce()
#endif
		:: else
		fi;
		atomic { woken = 0; cancelled = 0; claimed = 0 }
	:: else
	fi
}

/* Mutex.TryTakeOver; r == GOT: the lock is held, its owner had died. */
inline tryTakeOver() {
	load();
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
		:: else
		fi;
		o = 0; g = 0; h = 0
	}
}

/* Mutex.Abandon */
inline abandon(d) {
	atomic { settle(); owner = d; granted = 0; holder = 0 };
	rouse(0)
}

/* Mutex.Release */
inline release() {
	load();
	if
	:: g || h != 0 -> releaseSlow()
	:: else ->
		assert(o == ME);
		atomic { buffered = me; holder = 0; dirty = 0 };  /* fence.Publish64 */
		if                                      /* Gate.Notify looks, past the store buffer */
		:: sleepersBit[0] ->
			atomic { settle(); clear(0) };
			if
			:: waking -> wakeOne(0)
			:: else
			fi
		:: else
		fi
	fi;
	atomic { o = 0; g = 0; h = 0; waking = 0 }
}

/* Mutex.releaseSlow */
inline releaseSlow() {
	do
	:: load();
	   assert(o == ME && !g);
	   atomic {
		if
		:: SAME ->
			if
			:: heir != 0 && !DEAD(heir) -> owner = heir; granted = 1
			:: else -> owner = 0
			fi;
			heir = 0; holder = 0; dirty = 0;
			break
		:: else
		fi
	   }
	od;
#ifndef MUT_NO_ROUSE
	rouse(0)
#else
	notify(0)
#endif
}

/* Lock.Recover, Lock.Acquire of a lock that ignores deaths, or Lock.Acquire,
 * which gives up when the owner has died. */
proctype Thread(byte me) {
	byte i, o, h, d;
	bit g, woken, cancelled, claimed, waking;
	mtype r;
	{
		do
		:: i < (me == 1 -> ROUNDS : OTHERS) ->
			i++;
again:			acquire();
			if
			:: r == GOT -> release()
			:: r == DIED                        /* Lock.Acquire returns ErrOwnerDied */
			:: r == DIED ->                     /* Mutex.TakeOver */
				tryTakeOver();
				if
				:: r != GOT -> goto again
				:: r == GOT -> release()
				:: atomic { r == GOT && abandons > 0 -> abandons-- } abandon(d)
				fi
			:: else                             /* cancelled */
			fi;
			atomic { r = 0; d = 0 }
		:: else -> break
		od
	} unless { KILLED };
	atomic { i = 0; o = 0; h = 0; d = 0; g = 0; woken = 0; cancelled = 0; claimed = 0; waking = 0; r = 0;
		done = done | BIT(me) }
}

#include "deaths.pml"

init {
	atomic {
#ifdef FALLEN                        /* party 4 was killed holding the lock, long ago */
		owner = 4; killed = BIT(4); dead = BIT(4); fell = BIT(4); dirty = 1;
#endif
		run Killer(); run Announcer(); run StoreBuffer();
		run Thread(1); run Thread(2);
#if THREADS > 2
		run Thread(3)
#endif
	}
}
