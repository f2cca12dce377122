/* What the models have in common: threads and parties, deaths and the epoch,
 * gates, and the sleep of internal/wait's Room.Await.
 *
 * Threads are 1 to THREADS. Thread t is of party PARTY(t). A set of threads or of
 * parties is a byte with a bit for each.
 *
 * An epoch or a gate's word is not counted here. What matters of its value is
 * whether it is still the one that a thread has read: that is the thread's bit in
 * epochIsAsRead and gateIsAsRead, which whoever moves the word clears for all.
 */
#define BIT(n) (1 << (n))

#ifndef THREADS
#define THREADS 3
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef CANCELS
#define CANCELS 1
#endif
#ifndef MOVES
#define MOVES 0
#endif
#ifndef STOPS                        /* processes that are stopped (SIGSTOP) */
#define STOPS 0
#endif
#ifndef GATES
#define GATES 1
#endif
#ifndef PARTY
#ifdef SHARED                        /* threads 1 and 2 are of one process */
#define PARTY(t) ((t) == 2 -> 1 : (t))
#define CREW(p) ((p) == 1 -> 6 : BIT(p))
#else
#define PARTY(t) (t)
#define CREW(p) BIT(p)               /* the threads of party p */
#endif
#endif

#define EVERYBODY ((1 << THREADS + 1) - 2)
#ifndef SURVIVE                      /* of these threads one stays */
#define SURVIVE EVERYBODY
#endif
#ifndef LEAVES                       /* who is cancelled does not count as one */
#define LEAVES 0
#endif

byte deaths = DEATHS;                /* how many may yet be killed */
byte cancels = CANCELS;              /* how many contexts may yet end */
byte moves = MOVES;                  /* how often the epoch may yet move for no reason: somebody joins,
                                        or a second survivor announces a death again */

byte stops = STOPS;                  /* how many may yet be stopped */
byte halted;                        /* parties that are: none, or one */
byte frozen;                          /* their threads: of process _pid is thread _pid - 2 */
bit mayBeLate;                       /* somebody was stopped: time passes without which nothing goes on */

byte done;                           /* threads that came to their end */
byte leaving;                        /* threads that are about to */
byte killed;                         /* parties that run no more */
byte dead;                           /* parties whose line says DEAD */
byte epochIsAsRead;
byte gateIsAsRead[GATES];
bit sleepersBit[GATES];              /* S of the gate */
#ifdef FENCES                        /* publishers' stores may be in a store buffer */
bit fenceBit[GATES], doneBit[GATES]; /* its F and D */
byte mustFence;                      /* threads that found no D when they armed */
#endif
byte queued[GATES];                  /* threads in the kernel's queue of the gate's word */
byte up;                             /* threads that sleep, or were about to, and are woken */

#if STOPS > 0
#define STOPPABLE provided (!(frozen & BIT(_pid - 2)))
#else
#define STOPPABLE
#endif
#define KILLED (killed & BIT(PARTY(me)))
#define DEAD(p) (dead & BIT(p))      /* Table.Dead */

/* Table.Epoch().Load, for Room.Await */
inline readEpoch() { epochIsAsRead = epochIsAsRead | BIT(me) }

/* Gate.Arm */
#ifndef FENCES
inline arm(g) { atomic { sleepersBit[g] = 1; gateIsAsRead[g] = gateIsAsRead[g] | BIT(me) } }
#else
inline arm(g) {
	atomic {
		if
		:: !sleepersBit[g] -> settle(); sleepersBit[g] = 1; fenceBit[g] = 1
		:: else
		fi;
		gateIsAsRead[g] = gateIsAsRead[g] | BIT(me);
		if
		:: doneBit[g] -> mustFence = mustFence & ~BIT(me)
		:: else -> mustFence = mustFence | BIT(me)
		fi
#ifdef MUT_DONE_EARLY
		;
		doneBit[g] = 1
#endif
	}
}

/* Armed.fence: FENCE() is fence.Heavy */
inline armedFence(g) {
	if
	:: !(mustFence & BIT(me))
	:: atomic { mustFence & BIT(me) -> FENCE() };
	   atomic {
		mustFence = mustFence & ~BIT(me);
		if
#ifndef MUT_DONE_AFTER_MOVE
		:: (gateIsAsRead[g] & BIT(me)) && !doneBit[g] -> doneBit[g] = 1; gateIsAsRead[g] = BIT(me)
#else
		:: fenceBit[g] && !doneBit[g] -> doneBit[g] = 1; gateIsAsRead[g] = gateIsAsRead[g] & BIT(me)
#endif
		:: else
		fi
	   }
	fi
}
#endif

/* futex.Wake(gate, 1): any of those in the queue, as the kernel likes */
inline wakeOne(g) {
	atomic {
		if
		:: queued[g] & BIT(1) -> wake(g, BIT(1))
		:: queued[g] & BIT(2) -> wake(g, BIT(2))
#if THREADS > 2
		:: queued[g] & BIT(3) -> wake(g, BIT(3))
#endif
#if THREADS > 3
		:: queued[g] & BIT(4) -> wake(g, BIT(4))
#endif
		:: else
		fi
	}
}
inline wake(g, who) { up = up | who; queued[g] = queued[g] & ~(who) }

/* futex.Wake(gate, All) */
inline wakeAll(g) { atomic { up = up | queued[g]; queued[g] = 0 } }

/* Gate.Notify. That Gate.wake looks first is no step of its own: what counts is
 * the CAS that clears S, or that S was clear. Before the CAS what the thread has
 * stored becomes visible: settle() of the model; but not before the mere look. */
inline clear(g) { settle(); sleepersBit[g] = 0; gateIsAsRead[g] = 0 }
#ifndef FENCES
inline notify(g) {
	if
	:: atomic { sleepersBit[g] -> clear(g) };
	   wakeOne(g)
	:: !sleepersBit[g]
	fi
}

/* Gate.NotifyAll */
inline notifyAll(g) {
	if
	:: atomic { sleepersBit[g] -> clear(g) };
	   wakeAll(g)
	:: !sleepersBit[g]
	fi
}
#else
/* With F the publisher puts its own fence before its look at S. It may take F
 * and D away whenever S is not set: Gate counts instead. */
inline notify(g) {
	if
	:: !sleepersBit[g] && !fenceBit[g]
	:: sleepersBit[g] || fenceBit[g];
	   atomic { quiet() };
	   if
	   :: atomic { sleepersBit[g] -> clear(g) };
	      wakeOne(g)
	   :: atomic { !sleepersBit[g] && fenceBit[g] -> noFence(g) }
	   :: !sleepersBit[g]
	   fi
	fi
}

/* Gate.NotifyAll */
inline notifyAll(g) {
	if
	:: !sleepersBit[g] && !fenceBit[g]
	:: sleepersBit[g] || fenceBit[g];
	   atomic { quiet() };
	   if
	   :: atomic { sleepersBit[g] -> clear(g) };
	      wakeAll(g)
	   :: atomic { !sleepersBit[g] && fenceBit[g] -> noFence(g) }
	   :: !sleepersBit[g]
	   fi
	fi
}
inline noFence(g) {
	fenceBit[g] = 0;
#ifndef MUT_DONE_STAYS
	doneBit[g] = 0;
#endif
	gateIsAsRead[g] = 0
}
inline quiet() {
#ifndef MUT_NOTIFY_UNFENCED
	settle()
#else
	skip
#endif
}
#endif

/* Gate.Pass, in one step */
inline passOn(g) { gateIsAsRead[g] = 0; wakeOne(g) }

/* Gate.WakeAll */
inline rouse(g) { gateIsAsRead[g] = 0; wakeAll(g) }

/* futex.WaitAnyFor sleeps while gate and epoch are as they were read. Who is
 * woken by the epoch, or because its context ended, is in the gate's queue for a
 * little longer, and may be counted by a wake there. A context may end together with
 * a wake, too. Who has woken reads the epoch again. */
#ifndef MUT_EPOCH_LATE
#define UNMOVED(g) (gateIsAsRead[g] & epochIsAsRead & BIT(me))
#else
#define UNMOVED(g) (gateIsAsRead[g] & BIT(me))  /* the epoch is read after the look */
#endif
#define MAYCANCEL (cancels > 0 && (!(LEAVES & BIT(me)) || (SURVIVE & ~(done | leaving | BIT(me)))))
inline dozeOff(g) { queued[g] = queued[g] | BIT(me) }
inline sleep(g) {
	if
	:: atomic { (up & BIT(me)) && !(queued[g] & BIT(me)) -> wakeUp(g) }
	:: (up & BIT(me)) && (queued[g] & BIT(me));
	   atomic { wakeUp(g) }
	:: atomic { MAYCANCEL -> cancel() };
	   atomic { wakeUp(g) }
#if STOPS > 0 && !defined(MUT_NO_RELOOK)
	:: atomic { mayBeLate && USEFUL -> wakeUp(g) }  /* Room.Await: the slice has passed */
#endif
	fi
}
inline cancel() { cancels--; stage = LAST; leaving = leaving | (LEAVES & BIT(me)) }
inline wakeUp(g) {
	queued[g] = queued[g] & ~BIT(me);
	up = up & ~BIT(me);
	forget();
	if
	:: stage == ARMED -> readEpoch()
	:: else
	fi;
	woken = 1
}
/* What was read before a sleep is read anew after it. */
inline forget() {
	epochIsAsRead = epochIsAsRead & ~BIT(me);
	gateIsAsRead[0] = gateIsAsRead[0] & ~BIT(me);
#if GATES > 1
	gateIsAsRead[1] = gateIsAsRead[1] & ~BIT(me)
#endif
}

/* Every step of a thread is one statement that touches what is shared, with what
 * follows from it for the thread itself: "atomic" where that is more than one. */

/* The end of a thread, also when it was killed. */
inline ended() {
	done = done | BIT(me);
#ifdef FENCES
	mustFence = mustFence & ~BIT(me);
#endif
	set_priority(_pid, 1)
}

/* What a Try has come to: PENDING, the waiter has to go on; GOT; or why not. */
mtype = { PENDING, GOT, HELD, DIED, CANCELLED, SHUT };

/* The Tries of a call: the first, without waiting; those of a waiter that has
 * armed its gate; and the last one, when its context has ended. */
mtype = { FIRST, ARMED, LAST };
