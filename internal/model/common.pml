/* What the models have in common: threads and parties, deaths and the epoch,
 * gates, and the sleep of Room.Await of internal/wait.
 *
 * The threads are 1 to THREADS. Thread t belongs to party PARTY(t). A set of threads or of
 * parties is a byte with a bit for each.
 *
 * The models do not contain the values of the epoch and of a gate's word. Only one fact about a value
 * matters: whether it is still the one that a thread has read. A thread's bit in
 * epochIsAsRead or gateIsAsRead says so. A thread that changes the word clears the bits of all.
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
#ifndef GATES
#define GATES 1
#endif
#ifndef PARTY
#ifdef SHARED                        /* threads 1 and 2 belong to one process */
#define PARTY(t) ((t) == 2 -> 1 : (t))
#define CREW(p) ((p) == 1 -> 6 : BIT(p))
#else
#define PARTY(t) (t)
#define CREW(p) BIT(p)               /* the threads of party p */
#endif
#endif

#define EVERYBODY ((1 << THREADS + 1) - 2)
#ifndef SURVIVE                      /* of these threads, at least one is not killed */
#define SURVIVE EVERYBODY
#endif
#ifndef LEAVES                       /* of these threads, one that is cancelled does not count as such */
#define LEAVES 0
#endif

byte deaths = DEATHS;                /* how many parties may still be killed */
byte cancels = CANCELS;              /* how many contexts may still end */
byte moves = MOVES;                  /* how often the epoch may still advance without a death: a party joins,
                                        or a second survivor announces a death again */

byte done;                           /* threads that have ended */
byte leaving;                        /* threads that are about to end */
byte killed;                         /* parties that were killed */
byte dead;                           /* parties whose line says DEAD */
byte epochIsAsRead;
byte gateIsAsRead[GATES];
bit sleepersBit[GATES];              /* S of the gate */
#ifdef FENCES                        /* stores of publishers may wait in a store buffer */
bit fenceBit[GATES], doneBit[GATES]; /* its F and D */
byte mustFence;                      /* threads that found D clear when they armed */
#endif
byte queued[GATES];                  /* threads in the kernel's queue for the gate's word */
byte up;                             /* threads that were woken from a sleep, or when they were about to sleep */

#define KILLED (killed & BIT(PARTY(me)))
#define DEAD(p) (dead & BIT(p))      /* Table.Dead */

/* Table.Epoch().Load, in Room.Await */
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

/* Armed.fence; FENCE() models fence.Heavy */
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

/* futex.Wake(gate, 1): the kernel wakes any thread in the queue */
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

/* Gate.Notify. That Gate.wake first loads the word is not a step of its own: what matters is
 * the CAS that clears S, or that S was clear. At the CAS, the thread's own stores
 * become visible: settle() of the model. At a load they need not. */
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
/* If F is set, the publisher executes a fence of its own before it reads S. Whenever S is clear, it may clear F
 * and D: in Gate, a count decides when. */
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

/* Gate.Rouse */
inline rouse(g) { gateIsAsRead[g] = 0; wakeAll(g) }

/* futex.WaitAnyFor sleeps while gate and epoch have the values that were read. A thread that is
 * woken by the epoch, or because its context ended, stays in the gate's queue for a
 * moment, and a wake of the gate may count it. A context may also end together with
 * a wake. A thread that has woken reads the epoch again. */
#ifndef MUT_EPOCH_LATE
#define UNMOVED(g) (gateIsAsRead[g] & epochIsAsRead & BIT(me))
#else
#define UNMOVED(g) (gateIsAsRead[g] & BIT(me))  /* the epoch is read after the check */
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
/* After a sleep, a thread reads again what it had read before. */
inline forget() {
	epochIsAsRead = epochIsAsRead & ~BIT(me);
	gateIsAsRead[0] = gateIsAsRead[0] & ~BIT(me);
#if GATES > 1
	gateIsAsRead[1] = gateIsAsRead[1] & ~BIT(me)
#endif
}

/* Each step of a thread is one statement that accesses shared memory, and its consequences
 * inside the thread: "atomic" if these are several statements. */

/* The end of a thread, also of one that was killed. */
inline ended() {
	done = done | BIT(me);
#ifdef FENCES
	mustFence = mustFence & ~BIT(me);
#endif
	set_priority(_pid, 1)
}

/* The result of a Try: PENDING, the waiter goes on waiting; GOT, it has what it waited for; or why it fails. */
mtype = { PENDING, GOT, HELD, DIED, CANCELLED, SHUT };

/* Which Try of a call it is: the first, before the waiter arms its gate; one of a waiter that has
 * armed its gate; or the last, after the context has ended. */
mtype = { FIRST, ARMED, LAST };
