/* TryGet and TryPut of a queue, ring/queue_core.go: what ErrEmpty and ErrFull say. queue.pml has the
 * waiting, for which it makes no difference if a look at an empty queue says so too often. Here each
 * load of claimReadySlow is a step, and nobody waits.
 *
 * Threads 1 and 2 put FIRST and SECOND messages. Threads 3 to THREADS take messages, and say nothing.
 * The Trier calls TryGet once, at any moment. Each thread is a process.
 * HELD begins when thread 3 has taken the message of slot 0 and thread 4 that of slot 1. With LEASES they take
 * messages under leases, of which they give back RETURNS.
 * With SPANS, of three slots, Putter 1 may claim slots 0 and 1 together: see span.pml.
 * Positions count from 0; a position consists of lap and slot. */
#ifndef SLOTS
#ifdef SPANS
#define SLOTS 3
#else
#define SLOTS 2
#endif
#endif
#ifndef FIRST
#define FIRST 1
#endif
#ifndef SECOND
#define SECOND 3
#endif
#ifndef THREADS
#define THREADS 3
#endif
#ifndef DEATHS
#define DEATHS 0
#endif
#ifndef RETURNS
#define RETURNS 1
#endif
#define BIT(n) (1 << (n))

mtype = { WRITING, WRITINGSPAN, READY, READING, LEASED, RETURNED };
#ifdef LEASES
#define TAKES LEASED
#else
#define TAKES READING
#endif
#define FREE 0

byte lap[SLOTS], own[SLOTS];         /* one word together with state */
mtype state[SLOTS];
byte tail, head;
byte deaths = DEATHS;
byte killed;                         /* parties that run no more */
byte dead;                           /* parties whose line says DEAD: Table.Dead */
byte known;                          /* those of which the epoch tells, too */
byte returns = RETURNS;
/* Has the epoch, or front, not changed since the Trier's walk began? Has neither changed since its sweep began, or
 * since a sweep began that found nothing? */
bit epochIsAsWalked, frontIsAsWalked, asAsked, asSwept;

/* Not in the code: the Trier is in TryGet, and there was a moment in it without a message. */
bit trying, wasEmpty;
byte told;                           /* slots that were returned, with front moved */
byte by[SLOTS];                      /* who has returned it */

#define SLOT(p) ((p) % SLOTS)
#define LAP(p) ((p) / SLOTS)
#define IS(x) (state[SLOT(p)] == x)
#define HERE (lap[SLOT(p)] == LAP(p))
#define AHEAD (lap[SLOT(p)] > LAP(p))
#define BEHIND (lap[SLOT(p)] < LAP(p))
#define BEGUN (IS(WRITING) || IS(WRITINGSPAN))
#define SPANNED(q) (state[SLOT(q)] == WRITINGSPAN && lap[SLOT(q)] == LAP(q))
#define PAST(q) (SPANNED(q) -> 2 : 1)  /* how far position.past goes */
#define DEADWRITER (IS(WRITING) && (dead & BIT(own[SLOT(p)])))

/* A message is there from the moment at which it is published until a getter takes it, and again
 * when all know that its getter is dead, and when it was returned. */
#define THERE(x) (state[x] == READY || (state[x] == TAKES && (known & BIT(own[x]))) || \
	(state[x] == RETURNED && ((told & BIT(x)) || (known & BIT(by[x])))))
#ifdef SPANS
#define EMPTY (!THERE(0) && !(THERE(1) && state[0] != WRITINGSPAN) && !THERE(2))
#elif SLOTS > 1
#define EMPTY (!THERE(0) && !THERE(1))
#else
#define EMPTY (!THERE(0))
#endif
/* A message was taken. */
inline taken() {
	if
	:: trying && EMPTY -> wasEmpty = 1
	:: else
	fi
}

/* queueCore.repair */
inline repair() { lap[SLOT(p)] = lap[SLOT(p)] + 1; state[SLOT(p)] = FREE; own[SLOT(p)] = 0 }

/* Every position before p was claimed for writing, and the slot of p is not free. */
#define KEPT (IS(LEASED) || IS(RETURNED))
#define CLAIMED(q) (lap[SLOT(q)] > LAP(q) || (lap[SLOT(q)] == LAP(q) && state[SLOT(q)] != FREE) || SPANNED(q - 1))
#if SLOTS > 1
#define FULL (BEHIND && CLAIMED(p - 1))
#else
#define FULL BEHIND
#endif

/* A putter skips a slot that is kept if the other is free. Its look at that one is in lease.pml. */
#ifdef LEASES
#define MAYSKIP (KEPT && lap[SLOT(p)] + 1 == LAP(p) && state[SLOT(p + 1)] == FREE && lap[SLOT(p + 1)] == LAP(p + 1))
#else
#define MAYSKIP false
#endif

/* queueCore.put, again and again until the message is put */
proctype Putter(byte me; byte n) {
	byte p;
	bit shared;
	{
		do
		:: atomic { n > 0 && HERE && IS(FREE) -> state[SLOT(p)] = WRITING; own[SLOT(p)] = me };
		   atomic { tail = (p > tail -> p : tail) };
		   atomic { state[SLOT(p)] = READY; own[SLOT(p)] = 0; n--; p++; shared = 0 }
#ifdef SPANS
		:: atomic { me == 1 && n == 2 && HERE && IS(FREE) && SLOT(p) == 0 && state[1] == FREE && lap[1] == LAP(p) ->
			state[0] = WRITINGSPAN; own[0] = me };
		   atomic { tail = (p + 2 > tail -> p + 2 : tail) };
		   atomic { state[1] = READY };
		   atomic { state[0] = READY; own[0] = 0; n = 0; p = p + 2; shared = 0 }
#endif
#ifdef MUT_FULL_EARLY
		:: atomic { n > 0 && HERE && IS(WRITING) -> assert(FULL) }
#endif
		:: atomic { n > 0 && (AHEAD || (HERE && !IS(FREE))) -> p = p + PAST(p); p = (tail > p -> tail : p) }
		:: atomic { n > 0 && BEHIND && DEADWRITER -> repair() }
		:: atomic { n > 0 && BEHIND && MAYSKIP -> lap[SLOT(p)] = LAP(p) }
		:: atomic { n > 0 && BEHIND && !DEADWRITER && !MAYSKIP && !shared -> p = tail; shared = 1 }
		:: atomic { n > 0 && BEHIND && !DEADWRITER && !MAYSKIP && shared -> assert(FULL); shared = 0 }  /* ErrFull */
		:: n == 0 -> break
		od
	} unless { killed & BIT(me) };
	atomic { p = 0; n = 0; shared = 0 }
}

#define GONE (IS(TAKES) || IS(RETURNED))
#define NOTHING (BEHIND || (HERE && (IS(FREE) || (BEGUN && !DEADWRITER))))
#define CAMEBACK(x) (state[x] == RETURNED || (state[x] == TAKES && (dead & BIT(own[x]))))
inline adopt(x) { state[x] = TAKES; own[x] = me; by[x] = 0; told = told & ~BIT(x); k = x; taken() }
#ifndef LEASES
inline release() { atomic { state[k] = FREE; lap[k] = lap[k] + 1; own[k] = 0; k = SLOTS } }
#else
/* Lease.Done, or Lease.Return: giveBack */
inline release() {
	if
	:: atomic { state[k] = FREE; lap[k] = lap[k] + 1; own[k] = 0; k = SLOTS }
	:: atomic { returns > 0 -> returns--; state[k] = RETURNED; own[k] = 0; by[k] = me };
	   atomic {                          /* front.Add */
		told = told | (state[k] == RETURNED && by[k] == me -> BIT(k) : 0);
		frontIsAsWalked = 0; asAsked = 0; asSwept = 0; k = SLOTS
	   }
	fi
}
#endif

/* Queue.Get, again and again. One that has found no message, as it might at the beginning, may be stopped
 * before it looks for those of dead getters, so that may come at any moment. */
proctype Taker(byte me; byte k) {                /* k: the slot of its message */
	byte p;
	{
end:		do
		:: atomic { k != SLOTS -> skip };
		   release()
		:: atomic { k == SLOTS && HERE && IS(READY) -> state[SLOT(p)] = TAKES; own[SLOT(p)] = me; taken(); k = SLOT(p) };
		   atomic { head = (p > head -> p : head); p++ }
		:: atomic { k == SLOTS && (AHEAD || (HERE && GONE)) -> p++; p = (head > p -> head : p) }
		:: atomic { k == SLOTS && HERE && DEADWRITER -> repair() }
		:: atomic { k == SLOTS && CAMEBACK(0) -> adopt(0) }
#if SLOTS > 1
		:: atomic { k == SLOTS && CAMEBACK(1) -> adopt(1) }
#endif
		od
	} unless { killed & BIT(me) };
	atomic { p = 0; k = 0 }
}

inline anew() { epochIsAsWalked = 1; frontIsAsWalked = 1; k = 0; l = 0; w = 0; busy = 0 }

/* queueCore.takeBack */
inline takeBack() {
	if
	:: asSwept
	:: atomic { !asSwept -> asAsked = 1 };
		do                           /* adopt */
		:: atomic { CAMEBACK(k) -> goto got }
		:: atomic { !CAMEBACK(k) && k < SLOTS - 1 -> k++ }
		:: atomic { !CAMEBACK(k) && k == SLOTS - 1 -> k = 0; asSwept = asAsked; asAsked = 0; break }
		od
	fi
}

/* Queue.TryGet, once */
proctype Trier() {
	byte p;
	byte k;                      /* a slot, or how many positions after p */
	byte l;                      /* the slot's word, when the walk looked: its lap, */
	mtype w;                     /* and its state */
	bit shared, busy;
	atomic { trying = 1; wasEmpty = EMPTY; epochIsAsWalked = 1; frontIsAsWalked = 1 };
#ifdef LEASES
	takeBack();
#endif
walk:	do                                   /* claimReadySlow */
	:: atomic { HERE && IS(READY) -> goto got }
	:: atomic { AHEAD || (HERE && GONE) -> p++; p = (head > p -> head : p) }
	:: atomic { HERE && DEADWRITER -> repair() }
	:: atomic { NOTHING && !shared -> p = head; shared = 1 }
	:: atomic { NOTHING && shared -> l = lap[SLOT(p)]; w = state[SLOT(p)]; break }
	od;
	takeBack();
	if                                   /* readyBeyond */
	:: (w == WRITING || w == WRITINGSPAN) && l == LAP(p) ->
#ifndef MUT_BEYOND_ONE
		k = PAST(p);
#else
		k = 1;
#endif
		do
		:: atomic { k <= SLOTS && lap[SLOT(p + k)] == LAP(p + k) && state[SLOT(p + k)] == READY -> busy = 1; break }
		:: atomic { k <= SLOTS && (lap[SLOT(p + k)] < LAP(p + k) ||
			(lap[SLOT(p + k)] == LAP(p + k) && state[SLOT(p + k)] == FREE)) -> break }
		:: atomic { k > SLOTS -> break }
#ifndef MUT_BEYOND_ONE
		:: atomic { else -> k = k + PAST(p + k) }
#else
		:: atomic { else -> k++ }
#endif
		od
	:: else
	fi;
#ifndef MUT_NO_SECOND_LOOK
#ifdef MUT_EPOCH_BLIND
#define STILL frontIsAsWalked
#elif defined(MUT_FRONT_BLIND)
#define STILL epochIsAsWalked
#else
#define STILL (epochIsAsWalked && frontIsAsWalked)
#endif
	if
	:: atomic { !STILL -> anew() };
	   goto walk
	:: STILL
	fi;
#ifdef MUT_LOOK_IF_WRITING
#define SAME (w != WRITING || (lap[SLOT(p)] == l && state[SLOT(p)] == w))
#else
#define SAME (lap[SLOT(p)] == l && state[SLOT(p)] == w)
#endif
	if
	:: atomic { !SAME -> anew() };
	   goto walk
	:: SAME
	fi;
#endif
	assert(busy || wasEmpty);            /* ErrBusy, or ErrEmpty */
got:	atomic {                             /* the end of TryGet, or a message, which is just as well left there */
		p = 0; k = 0; l = 0; w = 0; shared = 0; busy = 0;
		trying = 0; wasEmpty = 0; epochIsAsWalked = 0; frontIsAsWalked = 0; asAsked = 0; asSwept = 0
	}
}

inline kill(t) { deaths--; killed = killed | BIT(t) }

/* SIGKILL, and Table.announce and Table.move */
proctype Killer() {
end:	do
	:: atomic { deaths > 0 && !(killed & BIT(1)) -> kill(1) }
	:: atomic { deaths > 0 && !(killed & BIT(3)) -> kill(3) }
#if THREADS > 3
	:: atomic { deaths > 0 && !(killed & BIT(4)) -> kill(4) }
#endif
#if THREADS > 4
	:: atomic { deaths > 0 && !(killed & BIT(5)) -> kill(5) }
#endif
	:: atomic { killed != dead -> dead = killed };
	   atomic { known = dead; epochIsAsWalked = 0; asAsked = 0; asSwept = 0 }
	od
}

init {
	byte i = 3;
	atomic {
#ifdef HELD
		state[0] = TAKES; own[0] = 3; state[1] = TAKES; own[1] = 4; tail = 2; head = 2;
#endif
		run Killer(); run Putter(1, FIRST); run Putter(2, SECOND); run Trier();
		do
#ifdef HELD
		:: i < 5 -> run Taker(i, i - 3); i++
		:: i >= 5 && i <= THREADS -> run Taker(i, SLOTS); i++
#else
		:: i <= THREADS -> run Taker(i, SLOTS); i++
#endif
		:: else -> break
		od
		i = 0
	}
}
