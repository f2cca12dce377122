/* The storage of ring/storage.go and encoded.go: who owns a block, and who frees it. What a slot is otherwise is in
 * queue.pml and lease.pml. Putters put one message each, of NEED blocks; getters take messages until all are taken.
 * Each is a process, and may be killed between any two steps. A getter has its message under a lease: putters may move
 * its slot on to the next lap. All words are atomics, so there is no store buffer in the model. */
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef BLOCKS
#define BLOCKS 3
#endif
#ifndef NEED
#define NEED 2
#endif
#ifndef PUTTERS
#define PUTTERS 2
#endif
#ifndef GETTERS
#define GETTERS 2
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef SKIPS
#define SKIPS 1
#endif
#define PROCS (PUTTERS + GETTERS)

mtype = { FREE, WRITING, READY, LEASED };
mtype state[SLOTS] = FREE;           /* one word together with lap and own */
byte lap[SLOTS], own[SLOTS];
byte birth[SLOTS], list[SLOTS];      /* the envelope; list: a bit for each block */
byte message[SLOTS];                 /* not in the code: who put it */
byte mark[BLOCKS];                   /* 0: free */
byte content[BLOCKS];                /* who wrote the block last */
byte wakes;                          /* of the gate of the putters that wait; modulo 8 */
bit dead[PROCS + 1], ended[PROCS + 1];
byte deaths = DEATHS, skips = SKIPS;

#define BIT(x) (1 << (x))
#define MARK(s, l) (1 + (l) * SLOTS + (s))
#define SLOTOF(m) (((m) - 1) % SLOTS)
#define LAPOF(m) (((m) - 1) / SLOTS)
#define DEADWRITER(s) (state[s] == WRITING && dead[own[s]])
#define wake() wakes = (wakes + 1) % 8
#ifndef MUT_NO_BIRTH
#define OVER(m) (birth[SLOTOF(m)] != LAPOF(m))
#else
#define OVER(m) (lap[SLOTOF(m)] != LAPOF(m))
#endif
#define setFree(s) state[s] = FREE; own[s] = 0; lap[s] = lap[s] + 1

/* storage.collect, with encoded.stale: each block that is stale becomes free. */
inline collect() {
	b = 0;
	do
	:: atomic { b < BLOCKS ->
#ifdef MUT_STATE_FIRST
		was = state[0] };                         /* SLOTS=1 */
	   atomic {
#endif
		m = mark[b] };
	   if
	   :: atomic { m == 0 -> free++ }
	   :: atomic { m != 0 && DEADWRITER(SLOTOF(m)) -> setFree(SLOTOF(m)) }  /* repair; then as below */
	   :: else
	   fi;
	   if
	   :: atomic { m != 0 ->
		over = 0; look = 0;
		if
#ifdef MUT_STATE_FIRST
		:: was == FREE -> over = 1
		:: was != FREE
#else
		:: state[SLOTOF(m)] == FREE -> over = 1
		:: state[SLOTOF(m)] == WRITING -> over = (lap[SLOTOF(m)] != LAPOF(m))
		:: state[SLOTOF(m)] == READY || state[SLOTOF(m)] == LEASED -> look = 1
#endif
		fi };
	      if
	      :: atomic { look -> over = OVER(m); look = 0 }
	      :: else
	      fi;
	      if
#ifndef MUT_FREE_BLIND
	      :: atomic { over && mark[b] == m -> mark[b] = 0; free++ }
	      :: atomic { over && mark[b] != m }
#else
	      :: atomic { over -> mark[b] = 0; free++ }
#endif
	      :: atomic { !over }
	      fi;
	      atomic { over = 0; m = 0; was = 0 }
	   :: else
	   fi;
	   b++
	:: else -> break
	od;
	b = 0
}

/* storage.give: of the blocks in mine, those that have the mark still */
inline give(x) {
	b = 0;
	do
	:: atomic { b < BLOCKS && (mine & BIT(b)) ->
		if
		:: mark[b] == x -> mark[b] = 0
		:: else
		fi;
		b++ }
	:: atomic { b < BLOCKS && !(mine & BIT(b)) -> b++ }
	:: b == BLOCKS -> break
	od;
	atomic { b = 0; mine = 0 }
}

inline take() {
	b = 0;
	do
	:: atomic { b < BLOCKS && got < NEED ->
		if
		:: mark[b] == 0 -> mark[b] = MARK(s, l); mine = mine | BIT(b); got++
		:: else
		fi;
		b++ }
	:: atomic { b == BLOCKS || got == NEED -> b = 0; break }
	od
}

proctype Putter(byte me) {
	byte b, m, s, l, mine, got, free, seen;
	bit over, look;
	mtype was;
	{
	skip;
again:	atomic { seen = wakes; free = 0; got = 0 };
#ifndef MUT_NO_COLLECT
	collect();
#else
	do
	:: atomic { b < BLOCKS -> free = free + (mark[b] == 0); b++ }
	:: else -> b = 0; break
	od;
#endif
	if
	:: free >= NEED
	:: free < NEED; wakes != seen; goto again       /* ErrFull, and a wake */
	fi;
#ifdef MUT_MARK_FIRST
	atomic { s = 0; l = lap[0] };
	take();
#endif
	do                                              /* claimFree */
	:: atomic { state[0] == FREE -> s = 0; l = lap[0]; state[0] = WRITING; own[0] = me; break }
#if SLOTS > 1
	:: atomic { state[1] == FREE -> s = 1; l = lap[1]; state[1] = WRITING; own[1] = me; break }
	:: atomic { DEADWRITER(1) -> setFree(1); wake() }
	:: atomic { state[1] == LEASED && skips > 0 && !(state[0] == FREE) -> skips--; lap[1] = lap[1] + 1 }
#endif
	:: atomic { DEADWRITER(0) -> setFree(0); wake() }
	:: atomic { state[0] == LEASED && skips > 0 -> skips--; lap[0] = lap[0] + 1 }
	od;
#ifndef MUT_MARK_FIRST
	take();
#endif
	if
	:: atomic { got < NEED -> skip };               /* giveUp */
	   give(MARK(s, l));
	   atomic { setFree(s) };
#ifndef MUT_GIVE_UP_SILENT
	   wake();
#endif
	   if
#ifdef TRIES
	   :: me == 1 -> goto tried                     /* TryPut */
#endif
#ifdef TRIES
	   :: me != 1 -> goto again
#else
	   :: goto again
#endif
	   fi
	:: else
	fi;
	do
	:: atomic { b < BLOCKS && (mine & BIT(b)) -> content[b] = me; b++ }
	:: atomic { b < BLOCKS && !(mine & BIT(b)) -> b++ }
	:: atomic { b == BLOCKS -> b = 0; break }
	od;
	atomic { list[s] = mine; message[s] = me };
	birth[s] = l;
	atomic { assert(state[s] == WRITING && own[s] == me); state[s] = READY; own[s] = 0 };
tried:	skip
	} unless { dead[me] };
	atomic { b = 0; m = 0; s = 0; l = 0; mine = 0; got = 0; free = 0; seen = 0; over = 0; look = 0; was = 0; ended[me] = 1 }
}

#define LEFT(s) (state[s] == READY || (state[s] == LEASED && dead[own[s]]))
#if PUTTERS == 1
#define PUT (ended[1])
#elif PUTTERS == 2
#define PUT (ended[1] && ended[2])
#else
#define PUT (ended[1] && ended[2] && ended[3])
#endif
#if SLOTS == 1
#define NONE (state[0] == FREE || DEADWRITER(0))
#define REST 0
#else
#define NONE ((state[0] == FREE || DEADWRITER(0)) && (state[1] == FREE || DEADWRITER(1)))
#define REST LEFT(1)
#endif

proctype Getter(byte me) {
	byte b, s, mine, x;
	{
	do
	:: atomic { LEFT(0) -> s = 0; state[0] = LEASED; own[0] = me };
	   goto read
#if SLOTS > 1
	:: atomic { LEFT(1) -> s = 1; state[1] = LEASED; own[1] = me };
	   goto read
#endif
	:: atomic { PUT && NONE -> break };
	   skip;
read:	   atomic { mine = list[s]; x = MARK(s, birth[s]) };
#ifdef MUT_GIVE_FIRST
	   give(x);
	   mine = list[s];
#endif
	   do                                           /* what is copied out */
	   :: atomic { b < BLOCKS && (mine & BIT(b)) -> assert(mark[b] == x && content[b] == message[s]); b++ }
	   :: atomic { b < BLOCKS && !(mine & BIT(b)) -> b++ }
	   :: atomic { b == BLOCKS -> b = 0; break }
	   od;
	   atomic { assert(state[s] == LEASED && own[s] == me); setFree(s) };
	   wake();                                      /* the wakes of the slot and of the blocks */
	   give(x);
	   wake()
	od
	} unless { dead[me] };
	atomic { b = 0; s = 0; mine = 0; x = 0; ended[me] = 1 }
}

/* SIGKILL, and the wake that follows each death. One getter lives. */
proctype Killer() {
	byte i;
	do
	:: atomic { deaths > 0 ->
		deaths--;
		i = 1;
		do
		:: i < PROCS - 1 -> i++
		:: break
		od;
		if
		:: !ended[i] && !dead[i] -> dead[i] = 1
		:: else
		fi };
	   atomic { wake(); i = 0 }
	:: break
	od
}

init {
	byte i;
	atomic {
		run Killer();
		i = 1;
		do
		:: i <= PROCS ->
			if
			:: i <= PUTTERS -> run Putter(i)
			:: else -> run Getter(i)
			fi;
			i++
		:: else -> break
		od;
		i = 0
	}
}
