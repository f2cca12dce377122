/* The wait group of sync/waitgroup.go. Each thread is a process. Thread 1 adds 2 counts, one for
 * itself and one for thread 2, and takes back its own, and also the other one if thread 2 dies before it
 * has claimed that. Thread 2 claims it and takes it back. With REUSE, thread 2 is instead a process that uses the line of thread 1 after that has
 * died, adds a count and takes it back. With AGAIN, thread 1 adds one count, takes it back when
 * a Wait has begun, and adds another one that it keeps; thread 2 does nothing. The other threads wait. If a Wait fails because a process
 * died, the thread drops the counts of the dead RECOVERS times, and waits again.
 *
 * The robust lock is modelled in lock.pml. Here it is taken in one step, and a thread that waits for it
 * goes on when it is free. All other stores are atomic operations, so there is no store buffer. What a
 * thread reads under the lock does not change: it is read in one step, together with the store of the log's number.
 *
 * Claims:
 *   - Wait returns nil only if the count was 0 at some moment since it was called.
 *   - Wait fails with "owner died" only if a process was killed that had counts.
 *   - No Wait waits for ever: at the end all counts are taken back, or a process that had some died.
 *   - A change is made completely or not at all: whenever there is no change to make, the total is the sum of the shares.
 */
#ifndef RECOVERS
#define RECOVERS 1
#endif
#include "common.pml"

#ifdef REUSE
#define LINE(p) ((p) == 2 -> 1 : (p))
#else
#define LINE(p) (p)
#endif
#define ADDED(p) (2 * LINE(p))
#define CLAIMED(p) (2 * LINE(p) + 1)
#define SHARES 6                     /* threads that only wait have none */

byte owner;                          /* of groupWords.lock */
byte total, zeros;                   /* groupWords.total */
byte party[SHARES], n[SHARES];       /* shares; 0 belongs to no party */
byte logN, logTotal, logZeros;       /* groupWords.log */
byte logShare[2], logParty[2], logCount[2];

byte recovers = RECOVERS;

/* Not in the code: what the claims refer to. */
bit began;                           /* the first Add has returned */
bit waits;                           /* a Wait has begun */
bit moved;                           /* thread 2 has claimed a count */
byte wasZero;                        /* threads during whose Wait the count was 0 */
byte fell;                           /* parties that were killed while they had counts */

#define OFDEAD(s) (n[s] > 0 && (party[s] == 0 || DEAD(party[s])))
#define OFLIVING(s) (n[s] > 0 && party[s] && !DEAD(party[s]))
#define HAS(p, s) (party[s] == (p) && n[s] > 0)
#define LOGGED(p, j) (logN > (j) && logParty[j] == (p) && logCount[j] > 0)

inline settle() { skip }
inline killing(p) {
	if
	:: HAS(p, 1) || HAS(p, 2) || HAS(p, 3) || HAS(p, 4) || HAS(p, 5) || LOGGED(p, 0) || LOGGED(p, 1) -> fell = fell | BIT(p)
	:: else
	fi
}

/* groupTotal.with, and the log */
inline setTotal(c) {
	logTotal = c;
	if
	:: c == 0 -> logZeros = zeros + 1
	:: else -> logZeros = zeros
	fi
}
inline set(j, s, id, c) { logShare[j] = s; logParty[j] = id; logCount[j] = c }

/* groupCore.perform */
inline perform() {
	performShares();
	atomic {
		total = logTotal; zeros = logZeros;
		if
		:: total == 0 -> wasZero = EVERYBODY
		:: else
		fi
	};
	atomic { logN = 0; set(0, 0, 0, 0); set(1, 0, 0, 0); logTotal = 0; logZeros = 0;
		assert(total == n[0] + n[1] + n[2] + n[3] + n[4] + n[5]) }
}
inline performShares() {
	if
	:: atomic { logN > 0 -> party[logShare[0]] = logParty[0]; n[logShare[0]] = logCount[0] }
	:: logN == 0
	fi;
	if
	:: atomic { logN > 1 -> party[logShare[1]] = logParty[1]; n[logShare[1]] = logCount[1] }
	:: logN <= 1
	fi
}

/* groupCore.commit, after the log is written */
inline commit() {
	perform();
	if
	:: total == 0 -> notifyAll(0)
	:: total != 0
	fi
}

/* groupCore.redo */
inline redo() {
#ifndef MUT_NO_REDO
	if
	:: logN != 0 ->
	   perform();
#ifndef MUT_REDO_SILENT
	   notifyAll(0)
#endif
	:: logN == 0
	fi
#else
	skip
#endif
}

/* WaitGroup.change: Mutex.TakeOver and redo */
inline lock() {
	if
	:: atomic { owner == 0 -> owner = me }
	:: atomic { owner && DEAD(owner) -> owner = me }
	fi;
	redo()
}
inline unlock() { atomic { assert(owner == me); owner = 0 } }

/* groupCore.mine: of kind ADDED or CLAIMED */
inline mine(s) {
	if
	:: atomic { party[s] != me && n[s] > 0 ->
		assert(DEAD(party[s]));
		setTotal(total);
#ifndef MUT_SHARE_FIRST
		set(0, 0, 0, n[0] + n[s]); set(1, s, 0, 0);
#else
		set(1, 0, 0, n[0] + n[s]); set(0, s, 0, 0);
#endif
		logN = 2 };
	   commit()
	:: else
	fi
}

/* WaitGroup.Add */
inline add(c) {
	lock();
	mine(ADDED(me));
	atomic {
		setTotal(total + c);
		set(0, ADDED(me), me, n[ADDED(me)] + c);
		logN = 1
	};
	commit();
	unlock()
}

/* WaitGroup.Claim: of the counts that thread 1 has added */
inline claim() {
	lock();
	if
	:: atomic { OFLIVING(ADDED(1)) -> claimed = 1 };
	   mine(CLAIMED(me));
	   atomic {
		setTotal(total);
		set(0, ADDED(1), party[ADDED(1)], n[ADDED(1)] - 1);
		set(1, CLAIMED(me), me, n[CLAIMED(me)] + 1);
		logN = 2;
		moved = 1
	   };
	   commit()
	:: !OFLIVING(ADDED(1))
	fi;
	unlock()
}

/* WaitGroup.Done, of a thread that has a count. Its share cannot be that of another thread. */
inline finish(s) {
	lock();
	atomic {
		assert(HAS(me, s));
		setTotal(total - 1);
		set(0, s, me, n[s] - 1);
		logN = 1
	};
	commit();
	unlock()
}

/* WaitGroup.Recover: groupCore.drop */
inline recover() {
	lock();
	do
	:: atomic { k < SHARES && OFDEAD(k) ->
		setTotal(total - n[k]);
		set(0, k, 0, 0);
		logN = 1 };
	   commit();
	   k++
	:: atomic { k < SHARES && !OFDEAD(k) -> k++ }
	:: atomic { k == SHARES -> k = 0; break }
	od;
	unlock()
}

/* groupCore.died, without the lock. Share 0 is last. That the party of a share is dead is read after the
 * share. Then the share is read again: the party may have taken its counts back in between, or
 * another thread may have changed the share. */
inline died() {
	k = SHARES - 1;
	do
	:: atomic { p = party[k]; c = n[k] };
	   atomic {
		if
		:: !(c > 0 && (p == 0 || DEAD(p))) ->
			p = 0; c = 0;
			if
			:: k == 0 -> break
			:: k > 0 -> k--
			fi
#ifndef MUT_STALE_SHARE
		:: c > 0 && (p == 0 || DEAD(p)) && party[k] == p && n[k] == c ->
#else
		:: c > 0 && (p == 0 || DEAD(p)) ->
#endif
			assert(p == 0 -> fell : fell & BIT(p));
			r = DIED; p = 0; c = 0; k = 0; goto looked
#ifndef MUT_STALE_SHARE
		:: c > 0 && (p == 0 || DEAD(p)) && !(party[k] == p && n[k] == c) ->
#ifdef MUT_CHANGED_SKIPPED
			p = 0; c = 0;
			if
			:: k == 0 -> break
			:: k > 0 -> k--
			fi
#else
			skip
#endif
#endif
		fi
	   }
	od
}

/* groupWaiter.Try */
inline tryWait() {
	if
#ifndef MUT_LOCK_LEFT
	:: atomic { owner && DEAD(owner) -> p = owner };
	   if
	   :: atomic { owner == p -> owner = me; p = 0 };         /* Mutex.TryTakeOver */
	      redo();
	      unlock()
	   :: atomic { owner != p -> p = 0 }
	   fi
#endif
	:: !(owner && DEAD(owner))
#ifdef MUT_LOCK_LEFT
	:: owner && DEAD(owner)
#endif
	fi;
	if
	:: atomic { total == 0 || zeros != found -> assert(wasZero & BIT(me)); r = GOT; goto looked }
#ifndef MUT_NO_ZEROS
	:: total != 0 && zeros == found
#else
	:: total != 0
#endif
	fi;
#ifndef MUT_DEAD_UNSEEN
	died()
#endif
}

#define AWAIT awaitZero
#define LOOK() tryWait()
#define ARM(g) arm(g)
#include "await.pml"

/* WaitGroup.Wait */
inline wait() {
	atomic {
		found = zeros; r = PENDING;
		if
		:: total == 0 -> wasZero = wasZero | BIT(me)
		:: else -> wasZero = wasZero & ~BIT(me)
		fi;
		waits = 1
	};
	awaitZero(0);
	atomic { woken = 0; stage = FIRST; found = 0 }
}

proctype Thread(byte me) STOPPABLE {
	byte k, p, c, found;
	bit woken, claimed;
	mtype r, stage = FIRST;
	{
		if
		:: me == 1 ->
#if defined(REUSE) || defined(AGAIN)
		   add(1);
#else
		   add(2);
#endif
		   began = 1;
#ifdef AGAIN
		   waits || (killed & BIT(3));
#endif
		   finish(ADDED(me))
#ifdef AGAIN
		   ;
		   add(1)
#elif !defined(REUSE)
		   ;
		   if
		   :: moved || (done & ~killed & BIT(2))
		   :: !moved && DEAD(2) -> finish(ADDED(me))
		   fi
#endif
		:: me == 2 ->
#ifdef AGAIN
		   skip
#elif defined(REUSE)
		   if
		   :: DEAD(1) ->                     /* Table.Claim: the line is free */
		      add(1);
		      finish(ADDED(me))
		   :: (done & BIT(1)) && !(killed & BIT(1))
		   fi
#else
		   if
		   :: began ->
		      claim();
		      if
		      :: claimed -> claimed = 0; finish(CLAIMED(me))
		      :: !claimed
		      fi
		   :: killed & BIT(1)
		   fi
#endif
		:: me > 2 ->
		   began || (done & BIT(1));
		   do
		   :: wait();
		      if
		      :: atomic { r == DIED && recovers > 0 -> recovers-- };
			 recover()
		      :: r != DIED || recovers == 0 -> break
		      fi
		   od
		fi
	} unless { KILLED };
	atomic { k = 0; p = 0; c = 0; found = 0; woken = 0; claimed = 0; r = 0; stage = FIRST; ended() }
}

#define PIDOF(t) ((t) + 2)
#include "deaths.pml"

init {
	atomic {
		run Killer(); run Announcer();
		run Thread(1); run Thread(2); run Thread(3);
#if THREADS > 3
		run Thread(4)
#endif
	}
}
