/* Once of sync/once.go, on the lock of lock.pml. Each thread calls Do once, FAILS of their
 * functions fail, and a thread may be killed at any moment, also in its function.
 *
 * Claims:
 *   - Two functions never run at the same time, and none runs after one has succeeded, unless the process
 *     of that was killed before Do had noted it.
 *   - Do returns nil only if a function has succeeded.
 *   - No Do waits for ever: neither for a process that is dead, nor, if a function has
 *     succeeded, for one that is stopped.
 */
#define ONCE
#ifndef FAILS
#define FAILS 0
#endif
#ifndef MUT_DONE_UNSEEN
#define WANTED (!isDone)
#else
#define WANTED true
#endif
#define HOLDSNOT(p) (holder == 0 || PARTY(holder) != (p) || isDone)
bit isDone;                          /* onceWords.done */
byte fails = FAILS;

/* Not in the code: what the claims refer to. */
byte running;                        /* the thread that runs its function */
byte succeeded;                      /* the last thread whose function has succeeded */
#include "lock.pml"

#define LIVES(t) ((t) && !(killed & BIT(PARTY(t))))

/* onceCore.run, under the lock */
inline run_() {
	if
#ifndef MUT_BLIND
	:: isDone
	:: atomic { !isDone -> assert(!LIVES(running) && !LIVES(succeeded)); running = me };
#else
	:: atomic { assert(!LIVES(running) && !isDone); running = me };
#endif
	   if
	   :: atomic { fails > 0 -> fails--; running = 0 }
#ifndef MUT_DONE_LATE
	   :: atomic { running = 0; succeeded = me };
	      isDone = 1
	   fi
	fi;
	atomic { load() };
	release()
#else
	   :: atomic { running = 0; succeeded = me; load() };
	      release();
	      atomic { isDone = 1; goto out }
	   fi
	fi;
	atomic { load() };
	release();
out:	skip
#endif
}

proctype Thread(byte me) STOPPABLE {
	byte o, h, d;
	bit g, woken, claimed, got;
	mtype r, stage = FIRST;
	{
		if
		:: isDone
		:: atomic { !isDone -> r = PENDING };
again:		   acquire(0);                       /* Mutex.TakeOver, AcquireWhile */
		   do
#ifndef MUT_NO_PASS
		   :: atomic { r != GOT && woken ->  /* acquirer.Pass */
			if
			:: !granted -> passOn(0)
			:: else
			fi;
			woken = 0 }
#else
		   :: atomic { r != GOT && woken -> woken = 0 }
#endif
		   :: atomic { r == SHUT && !woken && claimed -> renounce(); got = (r == GOT); r = SHUT }
		   :: atomic { r != GOT && r != SHUT && !woken && claimed -> renounce() }
		   :: r == SHUT && !woken && !claimed;
		      atomic { assert(isDone); over() };
		      if
		      :: got; got = 0; atomic { load() }; release()
		      :: !got
		      fi;
		      r = 0;
		      break
		   :: atomic { r == CANCELLED && !woken && !claimed -> over(); r = 0; break }
		   :: atomic { r == DIED && !woken && !claimed -> over(); load() };
		      tryTakeOver();
		      if
		      :: atomic { r == PENDING -> goto again }
		      :: r == GOT
		      fi
		   :: r == GOT -> over(); run_(); break
		   od
		fi
	} unless { KILLED };
	atomic { o = 0; h = 0; d = 0; g = 0; got = 0; r = 0; over(); ended() }
}

#define PIDOF(t) ((t) + 2)
#include "deaths.pml"

init {
	atomic {
		run Killer(); run Announcer();
		run Thread(1); run Thread(2);
#if THREADS > 2
		run Thread(3)
#endif
	}
}
