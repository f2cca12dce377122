/* The barrier of sync/barrier_core.go. Each thread calls Wait ROUNDS times; there are PARTIES
 * seats (slots). With MEDDLER the last thread does not wait. It calls Abort ABORTS times and Reset
 * RESETS times. With ACTION the last to arrive runs an action, which may fail FAILS times. There
 * are no plain stores, so no store buffer.
 *
 * Claims:
 *   - A round passes only if PARTIES threads have arrived in it. All of them return that it
 *     has passed, unless they are killed; or none does.
 *   - In each round each index is returned at most once. The action runs at most once, before any thread passes.
 *   - When no step is possible any more (Judge), each thread that still waits is one of
 *     fewer than PARTIES of an open round, of which none is dead.
 */
#ifndef PARTIES
#define PARTIES 2
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifndef ABORTS
#define ABORTS 0
#endif
#ifndef RESETS
#define RESETS 0
#endif
#ifndef FAILS
#define FAILS 0
#endif
#define GATES 2
#define ENDED 0
#define FREED 1
#include "common.pml"

/* barrierWords.word */
#define OPEN 0
#define ACTING 1
#define BROKEN 2
byte round = 1, state, passed;

/* barrierWords.seats */
byte taker[PARTIES], takenIn[PARTIES];
#define TAKENIN(rd) (who && in == (rd))

byte aborts = ABORTS, resets = RESETS, fails = FAILS;

/* Not in the code: what the claims refer to. */
#define MOST (THREADS * ROUNDS + RESETS + 2)
byte arrived[MOST];                  /* by round: threads that took a seat in it */
byte indexes[MOST];                  /* the indexes that were returned */
bit acted[MOST];                     /* its action has run */
bit went[MOST], fell[MOST];          /* a thread has returned that it has passed, that it has not */

inline settle() { skip }
inline killing(p) { skip }

/* barrierCore.breakRound, tellAll */
inline breakRound(rd) {
	if
	:: atomic { round == rd && state != BROKEN -> state = BROKEN };
#ifndef MUT_BREAK_SILENT
	   tellAll()
#endif
	:: round != rd || state == BROKEN
	fi
}
inline tellAll() { notifyAll(ENDED); notifyAll(FREED) }

inline load() { atomic { wRound = round; wState = state; wPassed = passed } }
inline unload() { wRound = 0; wState = 0; wPassed = 0; who = 0; in = 0; isDead = 0; k = 0 }

/* arrival.takeSeat */
inline takeSeat() {
	do
	:: atomic { k == PARTIES && missed -> k = 0; missed = 0 }
	:: atomic { k == PARTIES && !missed -> unload(); break }
#ifndef MUT_SEAT_LATE
	:: atomic { k < PARTIES -> who = taker[k]; in = takenIn[k] };
	   load();
#else
	:: atomic { k < PARTIES -> wRound = round; wState = state; wPassed = passed };
	   atomic { who = taker[k]; in = takenIn[k] };
#endif
#if DEATHS > 0
	   atomic { isDead = (who && DEAD(who)) };
	   if
	   :: isDead && TAKENIN(wRound) -> breakRound(wRound); load()
	   :: else
	   fi;
#endif
	   if
	   :: atomic { wState == BROKEN -> unload(); missed = 0; r = SHUT; break }
	   :: atomic { wState != BROKEN && (TAKENIN(wRound) || (who && !isDead)) -> k++ }
	   :: atomic { wState != BROKEN && !TAKENIN(wRound) && (!who || isDead) && taker[k] == who && takenIn[k] == in ->
		taker[k] = PARTY(me); takenIn[k] = wRound;
		seat = k; mine = wRound; arrived[mine]++;
		unload(); missed = 0; r = GOT; break }
	   :: atomic { wState != BROKEN && !TAKENIN(wRound) && (!who || isDead) && !(taker[k] == who && takenIn[k] == in) ->
		missed = 1; k++ }
	   fi
	od
}

/* barrierCore.count: n and isDead */
inline count(rd) {
	atomic { k = 0; n = 0; isDead = 0 };
	do
	:: atomic { k == PARTIES -> k = 0; who = 0; in = 0; break }
	:: atomic { k < PARTIES -> who = taker[k]; in = takenIn[k] };
	   atomic {
		if
		:: TAKENIN(rd) -> n++; isDead = isDead || DEAD(who)
		:: else
		fi;
		k++; who = 0; in = 0 }
	od
}

/* arrival.passed */
#ifndef MUT_RESET_PASSES
#define PASSED(rd, p) ((rd) != mine && (p) == mine)
#else
#define PASSED(rd, p) ((rd) != mine)
#endif

/* roundWaiter.Try, barrierCore.look */
inline lookRound() {
	load();
	if
	:: wRound != mine                            /* in Try; otherwise the load is that in look */
	:: true;
	   if
	   :: wState == BROKEN
#ifndef MUT_DEAD_UNSEEN
	   :: wState != BROKEN;
	      count(wRound);
	      if
	      :: isDead -> breakRound(wRound); load()
	      :: else
	      fi
#else
	   :: else
#endif
	   fi
	fi;
	atomic {
		if
		:: wRound == mine && wState != BROKEN
		:: PASSED(wRound, wPassed) -> r = GOT
		:: else -> r = SHUT
		fi;
		unload(); n = 0
	}
}

#define AWAIT awaitSeat
#define LOOK() takeSeat()
#define ARM(g) arm(g)
#include "await.pml"

#define AWAIT awaitRound
#define LOOK() lookRound()
#define ARM(g) arm(g)
#include "await.pml"

/* arrival.end */
inline endRound() {
	if
	:: atomic { round == mine && state == OPEN ->
#ifdef ACTION
		state = ACTING };
	   if
	   :: atomic { fails > 0 -> fails--; r = HELD; goto left }        /* the action has failed */
	   :: atomic { assert(!acted[mine] && !went[mine]); acted[mine] = 1 }
	   fi;
	   if
	   :: atomic { round == mine && state == ACTING ->
#endif
		passed = mine; round = mine + 1; state = OPEN;
		r = GOT };
#ifndef MUT_PASS_SILENT
	      notifyAll(ENDED)
#endif
#ifdef ACTION
	   :: !(round == mine && state == ACTING)
	   fi
#endif
	:: !(round == mine && state == OPEN)
	fi
}

/* arrival.leave */
inline vacate() {
	atomic {
		if
		:: taker[seat] == PARTY(me) && takenIn[seat] == mine -> taker[seat] = 0
		:: else
		fi
	}
}
inline leave() {
#ifndef MUT_LEAVE_FIRST
	breakRound(mine);
	vacate();
#else
	vacate();
	breakRound(mine);
#endif
#ifndef MUT_LEFT_SILENT
	notifyAll(FREED)
#endif
}

/* Barrier.Wait: arrival.pass */
inline over() { woken = 0; stage = FIRST }
inline wait() {
	r = PENDING;
	awaitSeat(FREED);
	atomic { over() };
	if
	:: r == GOT ->
	   r = PENDING;
	   count(mine);                              /* barrierCore.full */
	   if
	   :: isDead -> breakRound(mine)
	   :: !isDead && n == PARTIES -> endRound()
	   :: else
	   fi;
	   atomic { isDead = 0; n = 0 };
	   if
	   :: r == PENDING ->
	      awaitRound(ENDED);
	      atomic { over() };
	      if
#ifndef MUT_CANCEL_KEEPS
	      :: r == CANCELLED ->
#ifndef MUT_LEAVE_FIRST
		 breakRound(mine);
#endif
		 atomic {
			if
			:: PASSED(round, passed) -> r = GOT
			:: else
			fi
		 }
#endif
	      :: else
	      fi
	   :: r != PENDING
	   fi;
left:	   atomic {
		if
		:: r == GOT ->
			assert(arrived[mine] == PARTIES && !fell[mine] && !(indexes[mine] & BIT(seat)));
#ifdef ACTION
			assert(acted[mine]);
#endif
			indexes[mine] = indexes[mine] | BIT(seat);
			went[mine] = 1
		:: r != GOT ->
			assert(!went[mine]);
			fell[mine] = 1
		fi
	   };
#ifndef MUT_CANCEL_KEEPS
	   leave();
#else
	   if
	   :: r != CANCELLED -> leave()
	   :: else
	   fi;
#endif
	   atomic { seat = 0; mine = 0 }
	:: r != GOT
	fi
}

proctype Thread(byte me) {
	byte i, k, n, seat, mine, wRound, wState, wPassed, who, in;
	bit woken, missed, isDead;
	mtype r = PENDING, stage = FIRST;
	{
		do
		:: atomic { i < ROUNDS -> i++ };
		   wait()
		:: i == ROUNDS -> break
		od
	} unless { KILLED };
	atomic { i = 0; k = 0; n = 0; seat = 0; mine = 0; unload();
		missed = 0; isDead = 0; r = 0; over(); ended() }
}

#ifdef MEDDLER
/* Barrier.Abort and Reset */
proctype Meddler(byte me) {
	{
		do
		:: atomic { aborts > 0 -> aborts--; };
		   do
		   :: atomic { state != BROKEN -> state = BROKEN };
		      tellAll()
		   :: atomic { state == BROKEN -> break }
		   od
		:: atomic { resets > 0 -> resets--; round = round + 1; state = OPEN };
#ifndef MUT_RESET_SILENT
		   tellAll()
#endif
		:: break
		od
	} unless { KILLED };
	atomic { ended() }
}
#endif

/* Judge runs when no other step is possible. */
proctype Judge() {
	byte i, n;
	timeout;
	atomic {
		i = 0;
		do
		:: i < PARTIES ->
			if
			:: taker[i] && takenIn[i] == round ->
				assert((EVERYBODY & ~done) == 0 || state != OPEN || !DEAD(taker[i]));
				n++
			:: else
			fi;
			i++
		:: else -> break
		od;
		assert((EVERYBODY & ~done) == 0 || (state == OPEN && n < PARTIES));
		i = 1;
		do
		:: i <= THREADS ->
			if
			:: !(done & BIT(i)) -> n--
			:: else
			fi;
			i++
		:: else -> break
		od;
		assert((EVERYBODY & ~done) == 0 || n == 0);  /* all have a seat */
		i = 0; n = 0;
		killed = EVERYBODY                   /* ends all threads */
	}
}

#define PIDOF(t) ((t) + 3)
#include "deaths.pml"

init {
	atomic {
		run Killer(); run Announcer(); run Judge();
		run Thread(1);
#ifdef MEDDLER
#if THREADS == 2
		run Meddler(2);
#else
		run Thread(2);
		run Meddler(3)
#endif
#else
		run Thread(2);
#if THREADS > 2
		run Thread(3)
#endif
#endif
	}
}
