/* The spans of ring/span.go, in the queue of ring/queue_core.go: claims of several slots by one CAS, and how they are
 * undone. How threads wait, and what plain stores and their fences do, is in queue.pml; leases are in lease.pml.
 * Putters put MESSAGES each, alone or in spans; getters take messages until all are taken. Each thread is a process, and
 * may be killed between any two steps. All words are atomics. */
#ifndef SLOTS
#define SLOTS 3
#endif
#ifndef STEP                         /* spanStep */
#define STEP SLOTS
#endif
#ifndef PUTTERS
#define PUTTERS 1
#endif
#ifndef MESSAGES
#define MESSAGES 3
#endif
#ifndef GETTERS
#define GETTERS 1
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef SKIPS                        /* how many slots with a returned message putters may skip */
#define SKIPS 1
#endif
#define PROCS (PUTTERS + GETTERS)

mtype = { FREE, WRITING, WRITINGSPAN, READY, READING, READINGSPAN, RETURNED };
mtype state[SLOTS] = FREE;           /* one word together with lap and own */
byte lap[SLOTS], own[SLOTS];
byte message[SLOTS];
byte tail, head;
bit dead[PROCS + 1], ended[PROCS + 1];
byte deaths = DEATHS, skips = SKIPS;

/* Not in the code: what the claims refer to. */
byte published;                      /* messages whose slot or span was published */
byte got;                            /* messages whose slot was given back by a getter */
byte claimed[PUTTERS + 1];           /* by putter: how many of its messages were claimed in order */

#define BIT(x) (1 << (x))
#define SLOT(p) ((p) % SLOTS)
#define LAP(p) ((p) / SLOTS)
#define PUTTER(id) ((id) / MESSAGES + 1)
#define ID(i) ((me - 1) * MESSAGES + (i))
#define SPANFROM(s) ((SLOTS - (s) < STEP - (s) % STEP) -> SLOTS - (s) : STEP - (s) % STEP)
#define SPANS(s) (state[s] == WRITINGSPAN || state[s] == READINGSPAN)
#define BEGUN(s) (state[s] == WRITING || state[s] == WRITINGSPAN)
#define TAKEN(s) (state[s] == READING || state[s] == READINGSPAN || state[s] == RETURNED)
#define HERE (lap[SLOT(p)] == LAP(p))
#define AHEAD (lap[SLOT(p)] > LAP(p))
#define BEHIND (lap[SLOT(p)] < LAP(p))
#define set(s, x, o) state[s] = x; own[s] = o
#define setFree(s) state[s] = FREE; own[s] = 0; lap[s] = lap[s] + 1

/* position.past, and the cursor if that has overtaken the walk */
inline past(cursor) {
#ifndef MUT_ONE_BY_ONE
	p = p + ((SPANS(SLOT(p)) && HERE) -> (SPANFROM(SLOT(p))) : 1);
#else
	p++;
#endif
	p = (cursor > p -> cursor : p)
}
inline advance(cursor, to) { cursor = (to > cursor -> to : cursor) }
#ifndef MUT_CURSOR_INSIDE
#define END (p + n)
#else
#define END (p + n - 1)
#endif

/* queueCore.claimSpan: n becomes the size of the span at p, or 0 if a slot is not in the state from. The CAS of the
 * first slot is the caller's. */
inline checkSpan(from) {
#ifndef MUT_NO_CHECK
	do
	:: atomic { k < SPANFROM(SLOT(p)) && state[SLOT(p) + k] == from && lap[SLOT(p) + k] == LAP(p) -> k++ }
	:: atomic { k < SPANFROM(SLOT(p)) && !(state[SLOT(p) + k] == from && lap[SLOT(p) + k] == LAP(p)) -> n = 0; k = 0; break }
	:: atomic { k >= SPANFROM(SLOT(p)) -> n = k; k = 0; break }
	od
#else
	atomic { n = SPANFROM(SLOT(p)); k = 0 }
#endif
}

/* queueCore.undoSpan for the span of slot x, which was in the state w of lap l, with the dead owner o: u becomes 1 if
 * the caller may go on. */
inline undoSpan() {
	atomic {
#if !defined(MUT_NO_RELOAD) && !defined(MUT_FIRST_FIRST)
		u = (state[x] == w && lap[x] == l && own[x] == o);
#else
		u = 1;
#endif
#ifdef MUT_NO_UNDO
		k = 0
#else
		k = SPANFROM(x) - 1
#endif
	};
	do
	:: atomic { u && k > 0 && lap[x + k] == l && (state[x + k] == READY || (state[x + k] == FREE && w == WRITINGSPAN)) ->
		v = state[x + k] };
	   atomic {
		if                                      /* the CAS */
		:: state[x + k] == v && lap[x + k] == l && w == WRITINGSPAN -> setFree(x + k)
		:: state[x + k] == v && lap[x + k] == l && w == READINGSPAN -> set(x + k, RETURNED, 0)
		:: else
		fi;
		v = 0; k-- }
	:: atomic { u && k > 0 && !(lap[x + k] == l && (state[x + k] == READY || (state[x + k] == FREE && w == WRITINGSPAN))) -> k-- }
	:: atomic { !u || k == 0 -> k = 0; break }
	od
}
#define FORGET x = 0; w = 0; l = 0; o = 0; u = 0

/* queueCore.repair of slot x, which was seen in the state w */
inline repair() {
#ifdef MUT_FIRST_FIRST
	atomic {
		if
		:: state[x] == w && lap[x] == l && own[x] == o -> setFree(x)
		:: else
		fi
	};
#endif
	if
	:: atomic { w == WRITINGSPAN -> skip };
	   undoSpan()
	:: atomic { w != WRITINGSPAN -> u = 1 }
	fi;
	atomic {
		if
		:: u && state[x] == w && lap[x] == l && own[x] == o -> setFree(x)
		:: else
		fi;
		FORGET }
}
/* A look at slot s, whose owner is asked about after that. */
inline look(s) { x = s; w = state[s]; l = lap[s]; o = own[s] }

proctype Putter(byte me) {
	byte i, p, n, k, x, l, o;
	mtype w, v;
	bit u;
	{
	do
	:: atomic { i < MESSAGES -> skip };
claim:	   do
	   :: atomic { HERE && state[SLOT(p)] == FREE -> n = 1; set(SLOT(p), WRITING, me); break }
	   :: atomic { HERE && state[SLOT(p)] == FREE && SPANFROM(SLOT(p)) > 1 && i + SPANFROM(SLOT(p)) <= MESSAGES -> k = 1 };
	      checkSpan(FREE);
	      if
	      :: atomic { n > 0 && HERE && state[SLOT(p)] == FREE -> set(SLOT(p), WRITINGSPAN, me); goto write }
	      :: atomic { !(n > 0 && HERE && state[SLOT(p)] == FREE) -> n = 0 }
	      fi
	   :: atomic { AHEAD || HERE && state[SLOT(p)] != FREE -> past(tail) }
	   :: atomic { BEHIND && BEGUN(SLOT(p)) -> look(SLOT(p)) };
	      if
	      :: atomic { dead[o] -> skip };
	         repair()
	      :: atomic { !dead[o] -> FORGET }
	      fi
	   :: atomic { lap[SLOT(p)] + 1 == LAP(p) && state[SLOT(p)] == RETURNED && skips > 0 -> skips--; lap[SLOT(p)] = LAP(p) }
	   od;
write:	   atomic { advance(tail, END);
		k = 0;
		do
		:: k < n -> assert(lap[SLOT(p) + k] == LAP(p) && state[SLOT(p) + k] != READY); message[SLOT(p) + k] = ID(i + k); k++
		:: else -> break
		od;
		k = 1 };
#ifdef MUT_PUBLISH_FIRST
	   atomic { set(SLOT(p), READY, 0); published = published | (n == 1 -> BIT(ID(i)) : ((BIT(n) - 1) << ID(i))) };
#endif
	   do
	   :: atomic { k < n -> assert(lap[SLOT(p) + k] == LAP(p) && state[SLOT(p) + k] == FREE); set(SLOT(p) + k, READY, 0); k++ }
	   :: atomic { k >= n -> k = 0; break }
	   od;
	   atomic {
#ifndef MUT_PUBLISH_FIRST
		assert(own[SLOT(p)] == me && BEGUN(SLOT(p)));
		set(SLOT(p), READY, 0);
		published = published | ((BIT(n) - 1) << ID(i));
#endif
		p = p + n; i = i + n; n = 0 }
	:: atomic { i == MESSAGES -> break }
	od
	} unless { dead[me] };
	atomic { i = 0; p = 0; n = 0; k = 0; v = 0; FORGET; ended[me] = 1 }
}

#if PUTTERS == 1
#define PUT ended[1]
#else
#define PUT (ended[1] && ended[2])
#endif
#define GONE(s) (state[s] == FREE || (BEGUN(s) && dead[own[s]]))
#if SLOTS == 2
#define NONE (GONE(0) && GONE(1))
#else
#define NONE (GONE(0) && GONE(1) && GONE(2))
#endif
/* A message of a slot is claimed in its order: that of its putter. */
#define inOrder(s) \
	assert(published & BIT(message[s])); \
	assert(message[s] % MESSAGES + 1 > claimed[PUTTER(message[s])]); \
	claimed[PUTTER(message[s])] = message[s] % MESSAGES + 1
#define CAMEBACK(s) (state[s] == RETURNED || state[s] == READING || state[s] == READINGSPAN)

proctype Getter(byte me) {
	byte p, n, k, x, l, o;
	mtype w, v;
	bit u;
	{
	do
	:: atomic { HERE && state[SLOT(p)] == READY -> inOrder(SLOT(p)); n = 1; set(SLOT(p), READING, me); advance(head, END); x = SLOT(p); p++ };
	   goto take
	:: atomic { HERE && state[SLOT(p)] == READY && SPANFROM(SLOT(p)) > 1 -> k = 1 };
	   checkSpan(READY);
	   if
	   :: atomic { n > 0 && HERE && state[SLOT(p)] == READY ->
		do
		:: k < n -> inOrder(SLOT(p) + k); k++
		:: else -> break
		od;
		k = 0;
		set(SLOT(p), READINGSPAN, me); advance(head, END); x = SLOT(p); p = p + n };
	      goto take
	   :: atomic { !(n > 0 && HERE && state[SLOT(p)] == READY) -> n = 0 }
	   fi
	:: atomic { AHEAD || HERE && TAKEN(SLOT(p)) -> past(head) }
	:: atomic { HERE && BEGUN(SLOT(p)) -> look(SLOT(p)) };
	   if
	   :: atomic { dead[o] -> skip };
	      repair()
	   :: atomic { !dead[o] -> FORGET }
	   fi
	:: atomic { CAMEBACK(0) -> look(0) };           /* adopt */
	   goto adopt
	:: atomic { CAMEBACK(1) -> look(1) };
	   goto adopt
#if SLOTS > 2
	:: atomic { CAMEBACK(2) -> look(2) };
	   goto adopt
#endif
	:: atomic { PUT && NONE -> break };
	   skip;
adopt:	   if
	   :: atomic { w != RETURNED && !dead[o] -> FORGET; goto next }
	   :: atomic { w == RETURNED || w == READING && dead[o] -> u = 1 }
	   :: atomic { w == READINGSPAN && dead[o] -> skip };
	      undoSpan()
	   fi;
	   if
	   :: atomic { u && state[x] == w && lap[x] == l && own[x] == o -> set(x, READING, me); n = 1; w = 0; l = 0; o = 0; u = 0 }
	   :: atomic { !(u && state[x] == w && lap[x] == l && own[x] == o) -> FORGET; goto next }
	   fi;
take:	   atomic { k = 1 };
#ifdef MUT_FREE_FIRST
	   atomic { assert(!(got & BIT(message[x]))); got = got | BIT(message[x]); setFree(x) };
#endif
	   do
	   :: atomic { k < n -> assert(state[x + k] == READY && !(got & BIT(message[x + k])));
		got = got | BIT(message[x + k]); setFree(x + k); k++ }
	   :: atomic { k >= n -> k = 0; break }
	   od;
#ifndef MUT_FREE_FIRST
	   atomic { assert(own[x] == me && (published & BIT(message[x])) && !(got & BIT(message[x])));
		got = got | BIT(message[x]); setFree(x); x = 0; n = 0 };
#else
	   atomic { x = 0; n = 0 };
#endif
next:	   skip
	od
	} unless { dead[me] };
	atomic { p = 0; n = 0; k = 0; v = 0; FORGET; ended[me] = 1 }
}

/* SIGKILL. One getter lives. */
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
		fi;
		i = 0 }
	:: break
	od
}

/* When all have come to their ends every published message was got. */
proctype Judge() {
	byte i = 1;
	do
	:: i <= PROCS -> ended[i]; i++
	:: i > PROCS -> break
	od;
	assert((published & ~got) == 0)
}

init {
	byte i;
	atomic {
		run Killer(); run Judge();
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
