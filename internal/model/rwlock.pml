/* RWLock of sync/rwlock_core.go and rwlock.go: threads 1 to READERS read ROUNDS times, the others
 * write WROUNDS times, and give up what they have. With SHARED threads 1 and 2 are
 * readers of one process. The writers' word is a lock (lock.pml): here to acquire
 * it is one step, and who waits for it is woken. Not here: TryRAcquire and
 * TryAcquire, Recover, and locks that ignore deaths.
 */
#ifndef READERS
#define READERS 2
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifndef WROUNDS
#define WROUNDS ROUNDS
#endif
#define GATES 2
#define FREED 0                      /* rwWords.free: readers wait for a writer */
#define DRAINED 1                    /* a writer waits for readers */
#include "common.pml"

#define FREE 0
#define WANTED 1
#define WRITING 2
#define NUMBER(p) ((p) >> 2)
#define STATE(p) ((p) & 3)
#define WITH(p, s) (((p) & ~3) | (s))
#define NEXT(p) ((((p) >> 2) + 1) << 2 | WANTED)

byte phase;
byte count[THREADS + 1];             /* rwReaders.in of party p */
byte owner;                          /* of the writers' word: a party, 0: nobody */
bit granted;                         /* it was handed over to the owner, who need not know yet */
#ifndef LATES
#define LATES 1
#endif
byte lates = LATES;                  /* how many writers may yet be taken for stopped ones */
byte queueing;                       /* threads that wait for the word */

#define ABSENT(p) (count[p] == 0 || DEAD(p))
#if THREADS == 2
#define NOBODY_IN (ABSENT(1) && ABSENT(2))
#else
#define NOBODY_IN (ABSENT(1) && ABSENT(2) && ABSENT(3))
#endif

/* What is true. */
byte reading;                        /* threads that hold the lock */
bit writing;
bit died;                            /* a writer died writing */

/* All stores are read-modify-writes, but that of Mutex.Release: the phase is
 * FREE by then, and a store that comes late is a Release that comes late. */
inline settle() { skip }
inline killing(p) {
	reading = reading & ~CREW(p);
	queueing = queueing & ~CREW(p);
	if
	:: owner == p && STATE(phase) == WRITING -> writing = 0; died = 1
	:: else
	fi
}

/* rwCore.free */
inline free(p) {
	if
	:: atomic { phase == p -> phase = WITH(p, FREE) };
#ifndef MUT_FREE_SILENT
	   notifyAll(FREED);
#endif
	   notifyAll(DRAINED)
	:: phase != p
	fi
}

/* rwCore.heldBy, in the Try of a rwReader: r is DIED, or stays PENDING and again
 * says that the phase is to be looked at once more. A writer that could write and
 * does not may be found overdue at any moment: wait.Overdue is not here. */
inline heldBy(p) {
	o = owner;
	if
	:: atomic { o != 0 && !DEAD(o) -> again = 0; o = 0 };
	   if
	   :: atomic { lates > 0 && STATE(p) == WANTED && NOBODY_IN -> lates-- }; free(p); again = 1
	   :: true
	   fi
	:: atomic { o == 0 || DEAD(o) -> o = 0 };
	   if
	   :: atomic { phase != p -> again = 1 }
#ifndef MUT_DIED_FREED
	   :: atomic { phase == p && STATE(p) == WRITING -> again = 0; r = DIED }
#else
	   :: phase == p && STATE(p) == WRITING -> free(p); again = 1
#endif
#ifndef MUT_DEAD_PHASE_STAYS
	   :: phase == p && STATE(p) != WRITING -> free(p); again = 1
#else
	   :: atomic { phase == p && STATE(p) != WRITING -> again = 0 }
#endif
	   fi
	fi
}

/* rwReader.Try */
inline lookForRead() {
	do
	:: atomic { STATE(phase) == FREE -> r = GOT; break }
	:: atomic { STATE(phase) != FREE -> p = phase };
	   heldBy(p);
	   if
	   :: atomic { again -> again = 0; p = 0 }
	   :: atomic { !again -> p = 0; break }
	   fi
	od
}

#define AWAIT awaitWriter
#define LOOK() lookForRead()
#define ARM(g) arm(g)
#include "await.pml"

/* rwCore.leave */
inline leave() {
	atomic { assert(count[PARTY(me)] > 0); count[PARTY(me)] = count[PARTY(me)] - 1; last = (count[PARTY(me)] == 0) };
#ifndef MUT_LEAVE_SILENT
	if
	:: last -> notifyAll(DRAINED)
	:: else
	fi;
#endif
	last = 0
}

/* RWLock.RAcquire and RRelease. That readers are queued is not here: a writer does
 * not count on it. */
proctype Reader(byte me) STOPPABLE {
	byte i, p, o, found;
	bit woken, again, last;
	mtype r, stage = FIRST;
	{
		do
		:: i == ROUNDS -> break
		:: atomic { i < ROUNDS -> i++; r = PENDING };
		   do
		   :: atomic { r == PENDING -> found = phase };
		      if
		      :: STATE(found) == FREE ->
			 count[PARTY(me)] = count[PARTY(me)] + 1;       /* rwCore.join */
			 if
#ifndef MUT_JOIN_BLIND
			 :: NUMBER(phase) != NUMBER(found) -> leave()
			 :: atomic { NUMBER(phase) == NUMBER(found) -> r = GOT }
#else
			 :: r = GOT
#endif
			 fi
		      :: STATE(found) != FREE ->
			 awaitWriter(FREED);
			 atomic { woken = 0; stage = FIRST;
				if
				:: r == GOT -> r = PENDING
				:: r != GOT
				fi }
		      fi;
		      found = 0
		   :: atomic { r != PENDING -> break }
		   od;
		   if
		   :: atomic { r == GOT -> reading = reading | BIT(me); assert(!writing && !died) };
		      atomic { reading = reading & ~BIT(me); assert(STATE(phase) != WRITING) };
		      leave()
		   :: atomic { r != GOT -> assert(r == CANCELLED || died) }
		   fi;
		   r = 0
		od
	} unless { KILLED };
	atomic { i = 0; p = 0; o = 0; found = 0; woken = 0; again = 0; last = 0; r = 0; stage = FIRST; ended() }
}

/* rwCore.empty looks at one line after the other. */
inline isEmpty() {
	q = 1;
	do
	:: atomic { q > THREADS -> q = 0; none = 1; break }
	:: atomic { q <= THREADS && (count[q] == 0 || DEAD(q)) -> q++ }
	:: atomic { q <= THREADS && count[q] != 0 && !DEAD(q) -> q = 0; none = 0; break }
	od
}

/* What a rwWriter waits for in write */
inline lookForWrite() {
	isEmpty();
	if
	:: atomic { none -> none = 0; r = GOT }
	:: atomic { !none && phase != during -> r = GOT }
	:: !none && phase == during
	fi
}

#define AWAIT drain
#define LOOK() lookForWrite()
#define ARM(g) arm(g)
#include "await.pml"

/* Mutex.Release: the word is free, or one's who waits for it. */
inline disown() {
	if
	:: atomic { owner = 0 }
	:: atomic { queueing & BIT(THREADS) && me != THREADS -> owner = PARTY(THREADS); granted = 1 }
	:: atomic { queueing & BIT(THREADS - 1) && me != THREADS - 1 -> owner = PARTY(THREADS - 1); granted = 1 }
#if THREADS - READERS > 2
	:: atomic { queueing & BIT(THREADS - 2) && me != THREADS - 2 -> owner = PARTY(THREADS - 2); granted = 1 }
#endif
	fi
}

/* rwCore.own: AcquireWhile, takeOver, endPhase and abandon */
inline own() {
	queueing = queueing | BIT(me);
	do
	:: atomic { owner == 0 -> owner = PARTY(me); queueing = queueing & ~BIT(me); break }
	:: atomic { granted && (owner == PARTY(me) || DEAD(owner)) -> granted = 0; owner = PARTY(me); queueing = queueing & ~BIT(me); break }
	:: owner != 0 && !granted && DEAD(owner) ->
	   if
#ifndef MUT_DIED_TAKEN
	   :: STATE(phase) == WRITING ->
#else
	   :: false ->
#endif
	      if                                        /* heldBy */
	      :: atomic { STATE(phase) == WRITING && DEAD(owner) -> r = DIED; queueing = queueing & ~BIT(me); break }
	      :: STATE(phase) != WRITING || !DEAD(owner)
	      fi
#ifndef MUT_DIED_TAKEN
	   :: STATE(phase) != WRITING ->
#else
	   :: true ->
#endif
	      if
	      :: atomic { owner != 0 && !granted && DEAD(owner) -> p = owner; owner = PARTY(me); queueing = queueing & ~BIT(me) };
		 during = phase;                        /* endPhase */
		 if
#ifndef MUT_DIED_TAKEN
		 :: STATE(during) == WRITING ->
		    atomic { owner = p; p = 0; during = 0; r = DIED };
		    notifyAll(FREED)
#endif
		 :: STATE(during) == FREE -> p = 0; during = 0
		 :: else ->
		    free(during);
		    p = 0; during = 0
		 fi;
		 break
	      :: owner == 0 || granted || !DEAD(owner)
	      fi
	   fi
	:: atomic { cancels > 0 && !(granted && owner == PARTY(me)) -> cancels--; r = CANCELLED; queueing = queueing & ~BIT(me); break }
	od
}

/* RWLock.Acquire and Release: rwCore.write */
proctype Writer(byte me) STOPPABLE {
	byte i, p, q, during;
	bit woken, none;
	mtype r, stage = FIRST;
	{
		do
		:: i == WROUNDS -> break
		:: atomic { i < WROUNDS -> i++; r = PENDING };
		   own();
		   do
		   :: r == PENDING ->
		      atomic { assert(STATE(phase) == FREE); phase = NEXT(phase); during = phase };
		      drain(DRAINED);
		      atomic { woken = 0; stage = FIRST };
		      if
		      :: r != GOT ->
			 free(during);
			 disown()
#ifndef MUT_WANTED_BLIND
		      :: atomic { r == GOT && phase == during -> phase = WITH(phase, WRITING); during = phase }
		      :: atomic { r == GOT && phase != during -> r = PENDING }
#else
		      :: atomic { r == GOT -> phase = WITH(during, WRITING); during = phase }
#endif
		      fi
		   :: r != PENDING -> break
		   od;
		   if
		   :: r == GOT ->
		      atomic { writing = 1; assert(reading == 0 && !died) };
		      atomic { writing = 0; assert(phase == during) };
		      free(during);
		      disown()
		   :: r != GOT -> assert(r == CANCELLED || died)
		   fi;
		   atomic { r = 0; during = 0 }
		od
	} unless { KILLED };
	atomic { i = 0; p = 0; q = 0; during = 0; woken = 0; none = 0; r = 0; stage = FIRST; ended() }
}

#define PIDOF(t) ((t) + 2)
#include "deaths.pml"

#if READERS == 0
#define FIRST_ Writer
#else
#define FIRST_ Reader
#endif
#if READERS <= 1
#define SECOND Writer
#else
#define SECOND Reader
#endif
#if READERS == 3
#define THIRD Reader
#else
#define THIRD Writer
#endif
init {
	atomic {
		run Killer(); run Announcer();
		run FIRST_(1); run SECOND(2);
#if THREADS > 2
		run THIRD(3);
#endif
#if THREADS > 3
		run Writer(4)
#endif
	}
}
