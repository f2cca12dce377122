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
#define STALLED 3
#define NUMBER(p) ((p) >> 2)
#define STATE(p) ((p) & 3)
#define COLOR(p) (((p) >> 2) & 1)
#define WITH(p, s) (((p) & ~3) | (s))
#define NEXT(p) ((((p) >> 2) + 1) << 2 | WANTED)

byte phase;
byte count[2 * THREADS + 2];         /* rwReaders: readers of party p under color c */
#define COUNT(p, c) count[2 * (p) + (c)]
byte owner;                          /* of the writers' word: a party, 0: nobody */
bit granted;                         /* it was handed over to the owner, who need not know yet */
byte queueing;                       /* threads that wait for the word */

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
 * says that the phase is to be looked at once more. */
inline heldBy(p) {
	o = owner;
	if
	:: atomic { o != 0 && !DEAD(o) -> again = 0; o = 0 }
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
#define OVER (NUMBER(phase) != NUMBER(found) || STATE(phase) == FREE || (STATE(phase) == STALLED) != (STATE(found) == STALLED))
inline lookForRead() {
	do
	:: atomic { OVER -> r = GOT; break }
	:: atomic { !OVER -> p = phase };
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

/* rwCore.leave: the word of the party's line is as it was loaded. */
inline leave(c) {
	if
	:: atomic { COUNT(PARTY(me), 0) == even && COUNT(PARTY(me), 1) == odd ->
		COUNT(PARTY(me), c) = COUNT(PARTY(me), c) - 1;
		last = (COUNT(PARTY(me), c) == 0); even = 0; odd = 0; left = 1 };
#ifndef MUT_LEAVE_SILENT
	   if
	   :: last -> notifyAll(DRAINED)
	   :: else
	   fi;
#endif
	   last = 0
	:: atomic { COUNT(PARTY(me), 0) != even || COUNT(PARTY(me), 1) != odd -> even = 0; odd = 0 }
	fi
}
inline loadLine() { even = COUNT(PARTY(me), 0); odd = COUNT(PARTY(me), 1) }
#define READS(c) ((c) == 0 -> even : odd)

/* rwCore.unjoin */
inline unjoin(c) {
	do
	:: atomic { !left -> loadLine(); color = c;
		if
#ifndef MUT_UNJOIN_ITS_OWN
		:: READS(color) == 0 -> color = 1 - color
#endif
		:: else
		fi;
		assert(READS(color) > 0) };
	   leave(color)
	:: atomic { left -> left = 0; color = 0; break }
	od
}

/* rwCore.endRead */
inline endRead() {
	do
	:: atomic { !left -> loadLine() };
	   atomic {
		color = COLOR(phase);
		if
#ifndef MUT_OTHERS_FIRST
		:: STATE(phase) == FREE || STATE(phase) == STALLED ->
#else
		:: STATE(phase) == FREE || STATE(phase) == STALLED -> color = 1 - color;
#endif
			if
			:: READS(color) == 0 -> color = 1 - color
			:: else
			fi
		:: STATE(phase) == WANTED -> color = 1 - color
		:: STATE(phase) == WRITING -> assert(0)
		fi;
		assert(READS(color) > 0)
	   };
	   leave(color)
	:: atomic { left -> left = 0; color = 0; break }
	od
}

/* rwCore.join, but for the look at the phase that is its end */
inline join() {
	COUNT(PARTY(me), COLOR(found)) = COUNT(PARTY(me), COLOR(found)) + 1
}

/* RWLock.RAcquire and RRelease */
proctype Reader(byte me) {
	byte i, p, o, found, even, odd, color;
	bit woken, again, joined, left, last;
	mtype r, stage = FIRST;
	{
		do
		:: i == ROUNDS -> break
		:: atomic { i < ROUNDS -> i++; r = PENDING };
		   do
		   :: atomic { r == PENDING -> found = phase };
		      if
		      :: STATE(found) == STALLED
		      :: STATE(found) != STALLED ->
			 join();
			 if
#ifndef MUT_JOIN_BLIND
			 :: NUMBER(phase) != NUMBER(found) -> unjoin(COLOR(found)); goto next
			 :: atomic { NUMBER(phase) == NUMBER(found) && STATE(found) == FREE -> r = GOT; goto next }
			 :: atomic { NUMBER(phase) == NUMBER(found) && STATE(found) != FREE -> joined = 1 }
#else
			 :: atomic { STATE(found) == FREE -> r = GOT; goto next }
			 :: atomic { STATE(found) != FREE -> joined = 1 }
#endif
			 fi
		      fi;
		      awaitWriter(FREED);
		      atomic { woken = 0; stage = FIRST;
			if
			:: r == GOT && !joined -> r = PENDING; goto next
			:: r == GOT && joined -> joined = 0; goto next
			:: r != GOT
			fi };
		      if
		      :: joined -> joined = 0; unjoin(COLOR(found))
		      :: else
		      fi;
next:		      found = 0
		   :: atomic { r != PENDING -> break }
		   od;
		   if
		   :: atomic { r == GOT -> reading = reading | BIT(me); assert(!writing && !died) };
		      atomic { reading = reading & ~BIT(me) };
		      endRead()
		   :: atomic { r != GOT -> assert(r == CANCELLED || died) }
		   fi;
		   r = 0
		od
	} unless { KILLED };
	atomic { i = 0; p = 0; o = 0; found = 0; even = 0; odd = 0; color = 0; woken = 0; again = 0; joined = 0; left = 0; last = 0; r = 0; stage = FIRST; ended() }
}

/* rwCore.empty looks at one line after the other. */
inline isEmpty(c) {
	q = 1;
	do
	:: atomic { q > THREADS -> q = 0; none = 1; break }
	:: atomic { q <= THREADS && (COUNT(q, c) == 0 || DEAD(q)) -> q++ }
	:: atomic { q <= THREADS && COUNT(q, c) != 0 && !DEAD(q) -> q = 0; none = 0; break }
	od
}

/* rwWriter.Try */
inline lookForWrite() {
	isEmpty(color);
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
	fi
}

/* rwCore.own: AcquireWhile, inherit, settle and abandon */
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
		 during = phase;                        /* settle */
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

/* RWLock.Acquire and Release: rwCore.want, and the rest of write */
proctype Writer(byte me) {
	byte i, p, q, during, color;
	bit woken, none;
	mtype r, stage = FIRST;
	{
		do
		:: i == WROUNDS -> break
		:: atomic { i < WROUNDS -> i++; r = PENDING };
		   own();
		   do
		   :: r == PENDING ->
		      p = phase;
		      assert(STATE(p) == FREE);
		      color = COLOR(NEXT(p));
#ifndef MUT_NO_STALL
		      isEmpty(color);
#else
		      none = 1;
#endif
		      if
		      :: none ->
			 if
			 :: atomic { phase == p -> phase = NEXT(p); during = phase; color = 1 - COLOR(phase) }
			 :: atomic { phase != p -> none = 0; goto next }
			 fi
		      :: !none ->
			 if
			 :: atomic { phase == p -> phase = WITH(p, STALLED); during = phase }
			 :: phase != p -> goto next
			 fi
		      fi;
		      none = 0;
wait:		      drain(DRAINED);
		      atomic { woken = 0; stage = FIRST };
		      if
		      :: r != GOT ->
			 free(during);
			 disown()
		      :: r == GOT && STATE(during) == STALLED ->
			 if
			 :: atomic { phase == during -> phase = NEXT(during); during = phase; color = 1 - COLOR(phase); r = PENDING };
			    notifyAll(FREED);
			    goto wait
			 :: atomic { phase != during -> r = PENDING }
			 fi
		      :: atomic { r == GOT && STATE(during) == WANTED ->
			 assert(phase == during);
			 phase = WITH(phase, WRITING); during = phase }
		      fi;
next:		      p = 0; color = 0
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
	atomic { i = 0; p = 0; q = 0; during = 0; color = 0; woken = 0; none = 0; r = 0; stage = FIRST; ended() }
}

#define PIDOF(t) ((t) + 2)
#include "deaths.pml"

#if READERS == 1
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
		run Reader(1); run SECOND(2);
#if THREADS > 2
		run THIRD(3);
#endif
#if THREADS > 3
		run Writer(4)
#endif
	}
}
