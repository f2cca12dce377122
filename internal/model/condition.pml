/* The condition of sync/condition_core.go and condition.go. Each thread is a
 * process. Together they wait WAITS times and notify NOTIFIES times. Any thread may do so at any moment, and may
 * still hold the lock from its call before. To acquire the lock is one
 * step here: see lock.pml.
 *
 * Claims, most of them checked in Judge when no step is possible any more:
 *   - A notification is used at most once, by a thread that waited when it, or a later
 *     one, was given.
 *   - No notification is lost: if a thread still waits, then each notification that was given since it
 *     came has been used, and so has each that one of their users could have had instead.
 *   - A thread that was notified returns, and no thread waits for a lock that it cannot get.
 *   - Notify notifies the threads that came first, and as many as it is told to if so many wait.
 *   - If no thread is killed, cancelled or fails, as many return as were notified. If
 *     one is, then of the threads that came after any moment, not more return than were notified since.
 *   - No place leaks. A place is a waiter's slot.
 */
#ifndef WAITS
#define WAITS 3
#endif
#ifndef NOTIFIES
#define NOTIFIES 2
#endif
#ifndef MOST                         /* a Notify notifies 1 waiter, or up to so many */
#define MOST 1
#endif
#ifndef WAITERS                      /* threads that may wait */
#define WAITERS EVERYBODY
#endif
#ifndef NOTIFIERS                    /* threads that may notify */
#define NOTIFIERS EVERYBODY
#endif
#ifndef FAILS                        /* how many waits may fail, as if the condition was closed in that process */
#define FAILS 0
#endif
#ifndef TAKES                        /* the lock ignores deaths: Options.IgnoreDeaths; 0: ErrOwnerDied */
#define TAKES 1
#endif
#ifndef PLACES
#define PLACES 3
#endif
#include "common.pml"

byte owner;                          /* of the lock */
byte own[PLACES];                    /* one word together with n: place.word */
bit n[PLACES];
byte ticket[PLACES];                 /* in a free place all is 0, as no thread reads it */
byte until[PLACES];
byte next;                           /* conditionWords.next; conditionWords.used is PLACES from the start here */

byte epochIsAsSeen;                  /* by thread: waiter.seen */
#define MOVED epochIsAsSeen = 0

byte waits = WAITS;
byte notifies = NOTIFIES;
byte fails = FAILS;
#ifdef RECOVERS                      /* how often a thread that finds the owner of the lock dead takes it over; then they give up */
byte recovers = RECOVERS;
#endif
byte began;                          /* threads that have begun */

/* Not in the code: what the claims refer to. */
byte given;                          /* number of notifications so far; each has a number */
byte note[PLACES];                   /* the number of the notification in the place */
byte used;                           /* the notifications with which a Wait has returned */
byte came[THREADS + 1];              /* by thread: given when the thread began to wait */
byte userCame[NOTIFIES * MOST + 1];  /* by notification: came of the thread that has used it */
byte waiting;                        /* threads that wait, notified or not */

#define FREE(x) (!n[x] && (!own[x] || DEAD(own[x])))
#define SLEEPS(x) (!n[x] && own[x] && !DEAD(own[x]))     /* conditionCore.waits */
#define LEFT(x) (n[x] && (!own[x] || DEAD(own[x])))     /* conditionCore.left */
#define HELD (owner && !DEAD(owner))
#define FALLEN (!TAKES && owner && DEAD(owner))         /* guard.died */
#define MAYTAKE (owner == 0 || owner == me || (TAKES && DEAD(owner)))

#if PLACES == 2
#define SOME(p, x) (p(x, 0) || p(x, 1))
#elif PLACES == 3
#define SOME(p, x) (p(x, 0) || p(x, 1) || p(x, 2))
#elif PLACES == 4
#define SOME(p, x) (p(x, 0) || p(x, 1) || p(x, 2) || p(x, 3))
#endif
#define OLDER(x, y) (SLEEPS(y) && ticket[y] < until[x])
#define VOID(x) (LEFT(x) && !SOME(OLDER, x))            /* until is at most conditionCore.oldest */
#define OUTDATED(k) (n[k] && until[k] > mine)
#define EARLIER(x, y) (SLEEPS(y) && ticket[y] < ticket[x])
#define WAITS_THERE(x, y) SLEEPS(y)

inline killing(p) {
	epochIsAsSeen = epochIsAsSeen & ~BIT(p);
	waiting = waiting & ~BIT(p)
}

/* Table.Wake */
inline wakeTable() {
	atomic { epochIsAsRead = 0; MOVED };         /* epoch.Add */
	atomic { up = up | queued[0] }               /* futex.Wake(epoch, All) */
}

inline vacate(x) { own[x] = 0; n[x] = 0; ticket[x] = 0; until[x] = 0; note[x] = 0 }

/* waiter.enqueue and waiter.take: takes the first free place, or one whose
 * notification is void, even if another place is free: that one may have become free after the
 * waiter read it. x is NONE if there is no place. */
#define NONE PLACES
inline enqueue() {
	atomic {
		if
		:: FREE(0) -> x = 0
		:: !FREE(0) && FREE(1) -> x = 1
#if PLACES > 2
		:: !FREE(0) && !FREE(1) && FREE(2) -> x = 2
#endif
#if PLACES > 3
		:: !FREE(0) && !FREE(1) && !FREE(2) && FREE(3) -> x = 3
#endif
		:: VOID(0) -> x = 0
		:: VOID(1) -> x = 1
#if PLACES > 2
		:: VOID(2) -> x = 2
#endif
#if PLACES > 3
		:: VOID(3) -> x = 3
#endif
		:: else -> x = NONE
		fi;
		if
		:: x != NONE ->
			vacate(x);
			own[x] = me; ticket[x] = next; mine = next; next++;
			came[me] = given; waiting = waiting | BIT(me)
		:: else
		fi
	}
}

/* waiter.handOn */
inline handOn(x) {
	atomic { own[x] == me && n[x] -> own[x] = 0 };
#ifndef MUT_HAND_ON_SILENT
	wakeTable()
#endif
}

/* waiter.leave, of place x */
inline leave(x) {
	if
	:: atomic { !n[x] -> assert(own[x] == me); vacate(x) }
#ifndef MUT_DROP
	:: n[x];
	   handOn(x)
#else
	:: atomic { n[x] -> assert(own[x] == me); vacate(x) }
#endif
	fi
}

/* waiter.Try. It does not scan its own place, which was not left behind. */
#define FOLLOWING (k + 1 == x -> k + 2 : k + 1)
inline try() {
	if
#ifdef BLOCK                         /* the wait policy: the first check is after arming */
#define LOOKS (stage != FIRST)
	:: atomic { !LOOKS -> goto looked }
#else
#define LOOKS true
#endif
	:: atomic { LOOKS && fails > 0 -> fails--; r = SHUT; goto looked }
	:: atomic { LOOKS && n[x] -> assert(own[x] == me); r = GOT; goto looked }
	:: atomic { LOOKS && !n[x] -> assert(own[x] == me) }
	fi;
	if
	:: atomic { epochIsAsSeen & BIT(me) -> goto looked }
	:: atomic { !(epochIsAsSeen & BIT(me)) ->
		k = (x == 0 -> 1 : 0);
#ifndef MUT_SEEN_LATE
		epochIsAsSeen = epochIsAsSeen | BIT(me)
#endif
	   }
	fi;
	do                                           /* waiter.takeOver */
#ifndef MUT_NOT_TAKEN_OVER
#ifndef MUT_UNTIL_IGNORED
#define MINE(k) (LEFT(k) && mine < until[k])
#else
#define MINE(k) (LEFT(k))
#endif
	:: atomic { MINE(k) -> own[k] = me };
#ifndef MUT_KEEP_OTHERS
	   if
	   :: atomic { !n[x] -> assert(own[x] == me); vacate(x); x = k; k = 0; r = GOT; goto looked }
#ifndef MUT_OWN_DROPPED
	   :: atomic { n[x] -> assert(own[x] == me) };  /* notified meanwhile */
	      handOn(k);
	      atomic { k = 0; r = GOT; goto looked }
#else
	   :: atomic { n[x] -> assert(own[x] == me); vacate(x); x = k; k = 0; r = GOT; goto looked }
#endif
	   fi
#else
	   leave(x);
	   atomic { x = k; k = 0; r = GOT; goto looked }
#endif
#else
#define MINE(k) false
#endif
	:: atomic { !MINE(k) && FOLLOWING < PLACES -> k = FOLLOWING }
	:: atomic { !MINE(k) && FOLLOWING >= PLACES -> k = 0; break }
	od;
	atomic {
#ifdef MUT_SEEN_LATE
		epochIsAsSeen = epochIsAsSeen | BIT(me);
#endif
		if
		:: FALLEN -> r = DIED
		:: else
		fi
	}
}

/* waiter.Arm */
inline armPlace() {
	atomic {
		if
		:: !n[x] -> gateIsAsRead[0] = gateIsAsRead[0] | BIT(me)
		:: else
		fi
	}
}

#define AWAIT awaitPlace
#define LOOK() try()
#define ARM(g) armPlace()
#include "await.pml"

inline over() { x = 0; k = 0; mine = 0; woken = 0; stage = FIRST; r = PENDING }

#define TAKESBACK (r == GOT || (r == CANCELLED && x == NONE))
/* conditionCore.waitWith; the thread holds the lock */
inline wait() {
	enqueue();
	if
	:: atomic { x == NONE -> over() }               /* ErrWaiters */
	:: atomic { x != NONE -> owner = 0; r = PENDING };  /* conditionLock.release */
	   awaitPlace(0);                            /* waiter.sleep */
	   do
	   :: atomic { r == CANCELLED && x != NONE && !n[x] -> vacate(x); x = NONE; waiting = waiting & ~BIT(me) }
#ifndef MUT_CANCEL_DROPS
	   :: atomic { r == CANCELLED && x != NONE && n[x] -> r = GOT }
#else
	   :: atomic { r == CANCELLED && x != NONE && n[x] -> vacate(x); x = NONE; waiting = waiting & ~BIT(me) }
#endif
	   :: atomic { r == CANCELLED && x == NONE && MAYTAKE -> owner = me; over(); break }  /* conditionLock.reacquire */
	   :: atomic { r == GOT && MAYTAKE -> owner = me };
	      atomic {                               /* used up */
		assert(own[x] == me && n[x] && !(used & BIT(note[x])));
		assert(given > came[me]);            /* a notification was given since it came */
		used = used | BIT(note[x]);
		userCame[note[x]] = came[me];
		waiting = waiting & ~BIT(me);
		vacate(x); over(); break
	      }
	   :: atomic { TAKESBACK && FALLEN -> r = DIED }
	   :: atomic { TAKESBACK && fails > 0 -> fails--; r = SHUT }
	   :: atomic { (r == DIED || r == SHUT) && x == NONE -> over(); break }
	   :: (r == DIED || r == SHUT) && x != NONE; /* waiter.failed */
	      leave(x);
	      atomic { waiting = waiting & ~BIT(me); over(); break }
	   od
	fi
}

#define IN(k) (set & BIT(k))
/* Sets k to the next place that matters, or to NONE. A place that does not matter now
 * will not matter before the lock is free. */
inline seekSleeping() {
	do
	:: k < PLACES && !SLEEPS(k) -> k++
	:: else -> break
	od
}
inline seekOutdated() {
	do
	:: k < PLACES && !OUTDATED(k) -> k++
	:: else -> break
	od
}
inline first() {
	x = NONE; k = 0;
	do
	:: k < PLACES ->
		if
		:: IN(k) && (x == NONE || ticket[k] < mine) -> x = k; mine = ticket[k]
		:: else
		fi;
		k++
	:: else -> k = 0; break
	od
}

/* conditionCore.notify, of c waiters; the thread holds the lock */
inline notifyPlaces() {
	do
	:: atomic { k < PLACES && SLEEPS(k) -> set = set | BIT(k); k++; seekSleeping() }
	:: atomic { k < PLACES && !SLEEPS(k) -> k++; seekSleeping() }
	:: atomic { k == PLACES -> k = 0; break }
	od;
	if
	:: atomic { set == 0 }
	:: atomic { set != 0 -> first(); seekOutdated() };
#ifndef MUT_NO_RENEW
	   do                                        /* conditionCore.renew */
	   :: atomic { k < PLACES -> o = own[k]
#ifdef MUT_RENEW_STALE
	      };
	      atomic {
#endif
		until[k] = next };
	      if
#ifndef MUT_RENEW_STALE
	      :: LEFT(k);
#else
	      :: !o || DEAD(o);
#endif
	         wakeTable();
	         atomic { k++; o = 0; seekOutdated() }
	      :: atomic { else -> k++; o = 0; seekOutdated() }
	      fi
	   :: atomic { k == PLACES -> k = 0; break }
	   od;
#endif
	   do
	   :: atomic { set != 0 && c != 0 -> first(); set = set & ~BIT(x) };
	      if
	      :: atomic { own[x] && !n[x] ->         /* CAS: N is set */
		assert(!SOME(EARLIER, x));
		o = own[x];
		until[x] = next; n[x] = 1;
		note[x] = given; given++; c--;
		gateIsAsRead[0] = gateIsAsRead[0] & ~BIT(o) };
	         if
	         :: atomic { queued[0] & BIT(o) -> wake(0, BIT(o)); o = 0 }  /* futex.Wake */
#ifndef MUT_NOTIFY_DEAD
	         :: atomic { DEAD(o) -> o = 0 };
	            wakeTable()
	         :: atomic { !(queued[0] & BIT(o)) && !DEAD(o) -> o = 0 }
#else
	         :: atomic { else -> o = 0 }
#endif
	         fi
	      :: atomic { !(own[x] && !n[x]) }       /* cancelled meanwhile */
	      fi
	   :: atomic { set == 0 || c == 0 -> break }
	   od
	fi;
	atomic {
		assert(c == 0 || !SOME(WAITS_THERE, 0));
		set = 0; c = 0; o = 0; x = 0; mine = 0
	}
}

#define MAYWAIT (waits > 0 && (WAITERS & BIT(me)))
#define MAYNOTIFY (notifies > 0 && (NOTIFIERS & BIT(me)) && waiting)
#define OVER (!MAYWAIT && (notifies == 0 || !(NOTIFIERS & BIT(me)) || (!waiting && (waits == 0 || !(WAITERS & ~done)))))
/* The waiters are interchangeable, so they begin in the order of their numbers. */
#define TURN (me == 1 || !(WAITERS & BIT(me)) || ((began | done) & BIT(me - 1)))
proctype Thread(byte me) {
	byte x, k, mine, set, c, o;
	bit woken;
	mtype r = PENDING, stage = FIRST;
	{
		do
		:: atomic { MAYWAIT && MAYTAKE && TURN -> owner = me; began = began | BIT(me); waits-- };
		   wait()
		:: atomic { MAYNOTIFY && MAYTAKE && TURN -> owner = me; began = began | BIT(me); notifies--; c = 1 };
		   notifyPlaces()
#if MOST > 1
		:: atomic { MAYNOTIFY && MAYTAKE && TURN -> owner = me; began = began | BIT(me); notifies--; c = MOST };
		   notifyPlaces()
#endif
		:: atomic { owner == me -> owner = 0 }
#ifdef RECOVERS
		:: atomic { FALLEN && recovers > 0 -> recovers--; owner = me }  /* Lock.Recover */
		:: atomic { FALLEN && recovers == 0 -> break }
#else
		:: atomic { FALLEN -> break }
#endif
		:: atomic { owner != me && OVER -> break }
		od
	} unless { KILLED };
	atomic { over(); set = 0; c = 0; o = 0; ended() }
}

/* Judge runs when no other step is possible. */
proctype Judge() {
	byte i, j, m;
	timeout;
	atomic {
		assert(!HELD);
		assert((EVERYBODY & ~done & ~waiting) == 0);  /* a thread that has not ended waits, */
		assert(!FALLEN || !waiting);         /* and not for a lock that no thread can get; */
		i = 0;
		do
		:: i < PLACES ->
			assert(FREE(i) || VOID(i) || (SLEEPS(i) && (waiting & BIT(own[i]))));  /* no place leaks; */
			i++
		:: else -> break
		od;
		/* each notification that was given since the first of the threads that still wait came, or
		 * since a thread came that has used such a notification, was used. */
		m = given;
		i = 1;
		do
		:: i <= THREADS ->
			if
			:: (waiting & BIT(i)) && came[i] < m -> m = came[i]
			:: else
			fi;
			i++
		:: else -> break
		od;
		i = given;
		do
		:: i > m ->
			i--;
			assert(used & BIT(i));
			if
			:: userCame[i] < m -> m = userCame[i]
			:: else
			fi
		:: else -> break
		od;
#if DEATHS + CANCELS + FAILS <= 1
		/* Of the threads that came after m notifications, not more return than were notified since. */
		m = 0;
		do
		:: m <= given ->
			i = 0; j = 0;
			do
			:: i < given ->
				if
				:: (used & BIT(i)) && userCame[i] >= m -> j++
				:: else
				fi;
				i++
			:: else -> break
			od;
			assert(j <= given - m);
			m++
		:: else -> break
		od;
#endif
#if DEATHS + CANCELS + FAILS == 0
		assert(used == BIT(given) - 1);
#endif
		i = 0; j = 0; m = 0;
		killed = EVERYBODY                   /* ends all threads */
	}
}

#define PIDOF(t) ((t) + 3)
#include "deaths.pml"

init {
	byte i;
	atomic {
		run Killer(); run Announcer(); run Judge();
		i = 1;
		do
		:: i <= THREADS -> run Thread(i); i++
		:: else -> break
		od;
		i = 0
	}
}
