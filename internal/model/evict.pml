/* The storage of a broadcast: ring/broadcast_encoded.go, and find and take of a subscriber. What a slot is otherwise is
 * in broadcast.pml, and what the storage of a queue is in storage.pml. Publishers publish MESSAGES each, of NEED blocks.
 * One reader receives until all have been published: all of them, or with LOSSY those that have not given way. Each
 * publisher is a process, and may be killed between any two steps. Message p lies in slot p modulo SLOTS, in lap
 * p / SLOTS. All words are atomics, so there is no store buffer in the model. */
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef BLOCKS
#define BLOCKS 2
#endif
#ifndef NEED
#define NEED 1
#endif
#ifndef PUBLISHERS
#define PUBLISHERS 2
#endif
#ifndef MESSAGES
#define MESSAGES 2
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef FAILS
#define FAILS 1                      /* how often a publisher gives a position up before it gives up */
#endif

mtype = { FREE, WRITING, READY };
mtype state[SLOTS] = FREE;           /* one word together with lap and own */
byte lap[SLOTS], own[SLOTS];
byte list[SLOTS];                    /* the address: a bit for each block */
byte mark[BLOCKS];                   /* 0: free */
byte content[BLOCKS];                /* 1 + position whose message the block was written for last */
byte oldest, cursor;                 /* the cursor of the reader, if it is not lossy */
byte woken;                          /* a bit for each publisher that was woken at the gate for blocks */
byte end;                            /* not in the code, which searches it: the first position that is not claimed */
bit dead[PUBLISHERS + 1], ended[PUBLISHERS + 1];
byte deaths = DEATHS;

#define BIT(x) (1 << (x))
#define SLOT(p) ((p) % SLOTS)
#define LAP(p) ((p) / SLOTS)
#define MARK(p) (1 + (p))            /* of slot and lap */
#define DEADWRITER(s) (state[s] == WRITING && dead[own[s]])
#define wake() woken = 255
#define giveUp(s) state[s] = FREE; own[s] = 0; lap[s] = lap[s] + 1
#ifdef LOSSY
#define LIMIT 1
#define LOW end
#else
#define LIMIT (end < cursor + SLOTS)
#ifndef MUT_EVICT_ALL
#define LOW cursor
#else
#define LOW end
#endif
#endif

/* storage.collect, with broadcastCore.stale */
inline collect() {
	b = 0; free = 0;
	do
	:: atomic { b < BLOCKS -> m = mark[b]; x = (m > 0 -> m - 1 : 0) };
	   if
	   :: atomic { m == 0 -> free++ }
	   :: atomic { m != 0 && DEADWRITER(SLOT(x)) -> giveUp(SLOT(x)); wake() }  /* then as below */
	   :: else
	   fi;
	   if
	   :: atomic { m != 0 ->
		over = 0;
		if
		:: lap[SLOT(x)] != LAP(x) || state[SLOT(x)] == FREE -> over = 1
#ifndef MUT_WRITING_STALE
		:: lap[SLOT(x)] == LAP(x) && state[SLOT(x)] == WRITING
#else
		:: lap[SLOT(x)] == LAP(x) && state[SLOT(x)] == WRITING -> over = (oldest > x)
#endif
		:: lap[SLOT(x)] == LAP(x) && state[SLOT(x)] == READY -> over = (oldest > x)
		fi };
	      if
	      :: atomic { over && mark[b] == m -> mark[b] = 0; free++ }
	      :: atomic { else }
	      fi
	   :: else
	   fi;
	   atomic { over = 0; m = 0; x = 0; b++ }
	:: else -> break
	od;
	b = 0
}

/* storage.give: the blocks in mine that still have mark x */
inline give(x) {
	do
	:: atomic { b < BLOCKS && (mine & BIT(b)) ->
#ifndef MUT_GIVE_BLIND
		if
		:: mark[b] == x -> mark[b] = 0
		:: else
		fi;
#else
		mark[b] = 0;
#endif
		b++ }
	:: atomic { b < BLOCKS && !(mine & BIT(b)) -> b++ }
	:: atomic { b == BLOCKS -> b = 0; mine = 0; break }
	od
}

proctype Publisher(byte me) {
	byte i, b, m, x, p, to, mine, got, free, fails;
	bit over;
	{
	do
	:: atomic { i < MESSAGES && fails <= FAILS -> woken = woken & ~BIT(me) };
again:	   collect();                                    /* makeRoom */
	   if
	   :: free >= NEED
	   :: atomic { free < NEED ->                       /* evict; one message at a time */
		to = (oldest + SLOTS < end -> end - SLOTS : oldest);
		p = oldest };
	      if
	      :: atomic { to < LOW ->
		if
		:: oldest == p -> oldest = to + 1; p = to; got = (state[SLOT(p)] == READY && lap[SLOT(p)] == LAP(p))
		:: else -> got = 0
		fi };
		 if
		 :: got -> mine = list[SLOT(p)]; give(MARK(p))   /* the slot may be another message's by now */
		 :: else
		 fi;
		 atomic { got = 0; p = 0; to = 0 };
		 goto again
	      :: atomic { to >= LOW -> to = 0; p = 0 };       /* ErrFull */
		 atomic { (woken & BIT(me)) -> woken = woken & ~BIT(me) };
		 goto again
	      fi
	   fi;
	   do                                            /* claim */
	   :: atomic { LIMIT && ((state[SLOT(end)] == FREE && lap[SLOT(end)] == LAP(end)) ||
			(state[SLOT(end)] == READY && lap[SLOT(end)] + 1 == LAP(end))) ->
		p = end; end++; state[SLOT(p)] = WRITING; lap[SLOT(p)] = LAP(p); own[SLOT(p)] = me; break }
	   :: atomic { lap[SLOT(end)] == LAP(end) + 1 && state[SLOT(end)] == FREE -> end++ }
	   :: atomic { DEADWRITER(SLOT(end)) -> giveUp(SLOT(end)); wake() }
	   od;
	   mine = list[SLOT(p)];                         /* replace */
	   if
	   :: p >= SLOTS -> give(MARK(p - SLOTS))
	   :: else -> mine = 0
	   fi;
	   do                                            /* take */
	   :: atomic { b < BLOCKS && got < NEED ->
		if
		:: mark[b] == 0 -> mark[b] = MARK(p); mine = mine | BIT(b); got++
		:: else
		fi;
		b++ }
	   :: atomic { b == BLOCKS || got == NEED -> b = 0; break }
	   od;
	   if
	   :: atomic { got < NEED -> skip };
	      give(MARK(p));
	      atomic { giveUp(SLOT(p)); got = 0; p = 0; fails++ };
#ifndef MUT_GIVE_UP_SILENT
	      wake();
#endif
	      goto next
	   :: else
	   fi;
	   do                                            /* write */
	   :: atomic { b < BLOCKS && (mine & BIT(b)) ->
		assert(mark[b] == MARK(p));
		content[b] = MARK(p); b++ }
	   :: atomic { b < BLOCKS && !(mine & BIT(b)) -> b++ }
	   :: atomic { b == BLOCKS -> b = 0; break }
	   od;
	   list[SLOT(p)] = mine;
	   atomic { assert(state[SLOT(p)] == WRITING && own[SLOT(p)] == me); state[SLOT(p)] = READY; own[SLOT(p)] = 0; mine = 0; got = 0; p = 0 };
	   atomic { wake(); i++ };
next:	   skip
	:: else -> break
	od
	} unless { dead[me] };
	atomic { i = 0; b = 0; m = 0; x = 0; p = 0; to = 0; mine = 0; got = 0; free = 0; fails = 0; over = 0; ended[me] = 1 }
}

#if PUBLISHERS == 1
#define ALLENDED ended[1]
#else
#define ALLENDED (ended[1] && ended[2])
#endif
#define HERE (lap[SLOT(p)] == LAP(p))

/* find and take of subscriberCore. A reader that is not lossy holds publishers back by its cursor. */
proctype Reader() {
	byte p, b, mine;
	bit bad;
	do
	:: atomic { oldest > p || lap[SLOT(p)] > LAP(p) ->
		if
		:: lap[SLOT(p)] == LAP(p) + 1 && state[SLOT(p)] == FREE && oldest <= p  /* given up */
		:: else ->
#ifndef LOSSY
			assert(false)
#endif
			skip
		fi;
		p++; cursor = p };
#if !defined(MUT_MOVE_SILENT) && !defined(LOSSY)  /* a lossy subscriber holds nobody back */
	   wake()
#endif
	:: atomic { oldest <= p && HERE && DEADWRITER(SLOT(p)) -> giveUp(SLOT(p)); wake() }
	:: atomic { oldest <= p && HERE && state[SLOT(p)] == READY -> bad = 0; b = 0 };
	   mine = list[SLOT(p)];
	   do
	   :: atomic { b < BLOCKS && (mine & BIT(b)) -> bad = bad || mark[b] != MARK(p) };
	      atomic { bad = bad || content[b] != MARK(p); b++ }
	   :: atomic { b < BLOCKS && !(mine & BIT(b)) -> b++ }
	   :: atomic { b == BLOCKS -> b = 0; break }
	   od;
	   if
#ifndef MUT_NO_LOOK
	   :: atomic { HERE && state[SLOT(p)] == READY && oldest <= p ->
#else
	   :: atomic { HERE && state[SLOT(p)] == READY ->
#endif
		assert(!bad); mine = 0; bad = 0; p++; cursor = p };
#if !defined(MUT_MOVE_SILENT) && !defined(LOSSY)
	      wake()
#endif
	   :: atomic { else -> mine = 0; bad = 0 }
	   fi
	:: atomic { ALLENDED && p >= end -> break }
	od;
	p = 0
}

/* SIGKILL, and the wake that follows each death */
proctype Killer() {
	byte i = 1;
	do
	:: atomic { deaths > 0 ->
		deaths--;
		i = 1;
		do
		:: i < PUBLISHERS -> i++
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
		run Killer(); run Reader();
		i = 1;
		do
		:: i <= PUBLISHERS -> run Publisher(i); i++
		:: else -> break
		od;
		i = 0
	}
}
