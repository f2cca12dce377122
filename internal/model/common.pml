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

#if THREADS == 2
#define PARTIES (BIT(1) + BIT(2))
#elif defined(SHARED)
#define PARTIES (BIT(1) + BIT(3))
#elif THREADS == 3
#define PARTIES (BIT(1) + BIT(2) + BIT(3))
#else
#define PARTIES (BIT(1) + BIT(2) + BIT(3) + BIT(4))
#endif
#ifndef SURVIVE                      /* of these parties one lives on */
#define SURVIVE PARTIES
#endif

byte deaths = DEATHS;                /* how many may yet be killed */
byte cancels = CANCELS;              /* how many contexts may yet end */
byte moves = MOVES;                  /* how often the epoch may yet move for no reason: somebody joins,
                                        or a second survivor announces a death again */

byte done;                           /* threads that came to their end */
byte killed;                         /* parties that run no more */
byte dead;                           /* parties whose line says DEAD */
byte epochIsAsRead;
byte gateIsAsRead[GATES];
bit sleepersBit[GATES];              /* S of the gate */
byte queued[GATES];                  /* threads in the kernel's queue of the gate's word */
byte up;                             /* threads that sleep, or were about to, and are woken */

#define KILLED (killed & BIT(PARTY(me)))
#define DEAD(p) (dead & BIT(p))      /* Table.Dead */

/* Table.Epoch().Load, for Room.Await */
inline readEpoch() { epochIsAsRead = epochIsAsRead | BIT(me) }

/* Gate.Arm */
inline arm(g) { atomic { sleepersBit[g] = 1; gateIsAsRead[g] = gateIsAsRead[g] | BIT(me) } }

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

/* Gate.wake up to its CAS: waking says whether it goes on to futex.Wake. That
 * it first loads the word is no step: only the CAS that succeeds counts. */
inline clear(g) {
	atomic {
		waking = sleepersBit[g];
		if
		:: waking -> sleepersBit[g] = 0; gateIsAsRead[g] = 0
		:: else
		fi
	}
}

/* Gate.Notify after sequentially consistent publications */
inline notify(g) {
	clear(g);
	if
	:: waking -> wakeOne(g)
	:: else
	fi
}

/* Gate.NotifyAll, likewise */
inline notifyAll(g) {
	clear(g);
	if
	:: waking -> wakeAll(g)
	:: else
	fi
}

/* Gate.Pass */
inline passOn(g) { wakeOne(g) }

/* Gate.Rouse */
inline rouse(g) { gateIsAsRead[g] = 0; wakeAll(g) }

/* futex.WaitAnyFor: sleeps while gate and epoch are as they were read. Who is
 * woken by the epoch, or cancelled, is in the gate's queue for a little longer, and
 * may be counted by a wake there. cancelled: the context ended, be it asleep or
 * together with a wake. */
#ifdef MUT_IGNORE_EPOCH
#define UNMOVED(g) (gateIsAsRead[g] & BIT(me))
#else
#define UNMOVED(g) (gateIsAsRead[g] & epochIsAsRead & BIT(me))
#endif
inline sleep(g) {
	atomic {
		if
		:: UNMOVED(g) -> queued[g] = queued[g] | BIT(me)
		:: else -> up = up | BIT(me)
		fi
	}
	if
	:: up & BIT(me)
	:: atomic { cancels > 0 -> cancels--; cancelled = 1 }
	fi;
	atomic { queued[g] = queued[g] & ~BIT(me); up = up & ~BIT(me); forget() }
}
/* What was read before a sleep is read anew after it. */
inline forget() {
	epochIsAsRead = epochIsAsRead & ~BIT(me);
	gateIsAsRead[0] = gateIsAsRead[0] & ~BIT(me);
#if GATES > 1
	gateIsAsRead[1] = gateIsAsRead[1] & ~BIT(me);
#endif
}

/* Room.Await at gate g. The model says what the steps of its waiter are:
 * armed() is the rest of its Arm, look() its Try, which sets r, and fence() is
 * fence.Heavy. r is PENDING when the waiter has to go on, GOT, or else why not. */
mtype = { PENDING, GOT, HELD, DIED, CANCELLED, SHUT };
inline await(g) {
	woken = 0;
	do
	:: atomic { r = PENDING;
#ifndef MUT_EPOCH_LATE
		readEpoch()
#endif
	   };
	   arm(g);
	   armed();
#ifndef MUT_NO_FENCE
	   fence();
#endif
#ifndef MUT_NO_RECHECK
	   look();
#endif
#ifdef MUT_EPOCH_LATE
	   readEpoch();
#endif
	   if
	   :: r != PENDING -> break
	   :: else
	   fi;
	   sleep(g);
	   woken = 1;
	   if
	   :: cancelled ->
#ifndef MUT_NO_REARM
		arm(g);
		armed();
#endif
		look();
		if
		:: r == PENDING -> r = CANCELLED
		:: else
		fi;
		break
	   :: else
	   fi
	od;
	forget()
}
