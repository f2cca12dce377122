/* Parties and objects: internal/party/table.go, shm/object.go, directory.go. Processes 1 and 2
 * are attached, on lines 1 and 2. Process 3 attaches when process 1 has died, on line 1. Together they
 * make, open, close and remove objects, OPS times. There is one entry, and one piece of memory: that of the
 * object which the entry is. Each living process also looks for deaths, and announces them.
 *
 * The robust lock of the directory is modelled in lock.pml. Here it is taken in one step, and names its
 * owner's ID, which is a line and a generation. The index of names and the choice of addresses are not
 * here; for methods that are inside a closed object see recycle.pml. All words are atomics, so there is
 * no store buffer.
 *
 * Claims:
 *   - The memory of an object is never given back, nor is it another object's, while a
 *     living process has the object open.
 *   - When no process is at work any more, and all deaths are announced, the next owner of
 *     the directory finds the entry free, unless it is an object that has a name or is open: a half-made object is
 *     freed, and so is one that is not wanted, whoever was killed when.
 *   - When a line gets its next party, the former one is announced as dead, and holds nothing.
 *   - Nobody waits for ever for the directory's lock.
 */
#define BIT(n) (1 << (n))
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef OPS
#define OPS 4
#endif
#define LINES 2
#define PROCS 3

/* Table: the lines' words, and the locks of the kernel */
#define ID(n, g) ((g) * 4 + (n))
#define LINEOF(id) ((id) % 4)
bit alive[LINES + 1];
byte gen[LINES + 1];
byte lineLock[LINES + 1];            /* the process that has the lock, 0: none */
byte idOf[PROCS + 1];                /* by process: Table.me, 0: not attached */
#define DEAD(id) (!alive[LINEOF(id)] || gen[LINEOF(id)] != (id) / 4)

/* The directory. The lock */
byte owner;                          /* an ID */
bit swept;                           /* directoryWords.swept is Words.Deaths */
/* and the entry */
#define FREE 0
#define MAKING 1
#define READY 2
#define REMOVED 3
byte state, serial;
bit named;
byte holds;                          /* by line */
#define UNWANTED (state == REMOVED || (state == READY && !named))
#define ISREADY(s) (state == READY && serial == (s))

byte ops = OPS;
byte deaths = DEATHS;
byte killed, done;

/* Not in the code: what the claims refer to. */
byte users;                          /* processes that have the object open */
byte inDirectory;                    /* the process that has the directory's lock */
byte owed;                           /* lines that say DEAD, and whose death is not counted */

#define ME idOf[me]
#define RUNS(p) (!(killed & BIT(p)))

/* entry.held: the bits of the lines lie in one word. That a line is alive counts only if it has its bit afterwards,
 * too: otherwise it may have got its next party meanwhile, which holds nothing. isHeld is the result. */
#ifndef MUT_HELD_ONCE
#define HOLDS(n) (holds & BIT(n))
#else
#define HOLDS(n) 1
#endif
inline held() {
	bits = holds;
	if
	:: (bits & BIT(1)) && alive[1] -> isHeld = (HOLDS(1) -> 1 : 0)
	:: !((bits & BIT(1)) && alive[1])
	fi;
	if
	:: atomic { isHeld -> bits = 0 }
	:: !isHeld && (bits & BIT(2)) && alive[2] -> atomic { isHeld = (HOLDS(2) -> 1 : 0); bits = 0 }
	:: atomic { !isHeld && !((bits & BIT(2)) && alive[2]) -> bits = 0 }
	fi
}

/* attachment.free, under the directory's lock: the memory, then the entry */
inline free() {
	atomic { assert(!(users & ~killed)); state = FREE }
}

/* attachment.removeEntry */
inline removeEntry() {
#ifndef MUT_HELD_FIRST
	state = REMOVED;
#endif
	held();
#ifdef MUT_HELD_FIRST
	state = REMOVED;
#endif
	if
	:: isHeld -> isHeld = 0
	:: else -> free()
	fi
}

/* attachment.freeUnheld */
inline freeUnheld() {
	held();
	if
	:: isHeld -> isHeld = 0
#ifndef MUT_ONE_LOOK
	:: else -> removeEntry()
#else
	:: else -> state = REMOVED; free()
#endif
	fi
}

/* attachment.sweep */
inline sweep() {
#ifndef MUT_SWEPT_LATE
	swept = 1;
#endif
	if
#ifndef MUT_MAKING_STAYS
	:: state == MAKING -> free()
#else
	:: state == MAKING
#endif
	:: UNWANTED -> freeUnheld()
	:: state == FREE || (state == READY && named)
	fi
#ifdef MUT_SWEPT_LATE
	;
	swept = 1
#endif
}

/* attachment.lockDirectory */
inline lockDirectory() {
	if
	:: atomic { owner == 0 && swept -> owner = ME; inDirectory = me }
	:: atomic { ((owner == 0 && !swept) || (owner && DEAD(owner))) ->
		owner = ME; assert(!inDirectory || !RUNS(inDirectory)); inDirectory = me };
	   sweep()
	fi
}
inline unlockDirectory() {
	atomic { assert(owner == ME && inDirectory == me); owner = 0; inDirectory = 0 }
}

/* attachment.reap, of whatever object the entry is: one that was opened by an outdated handle may have
 * seemed to be held by this process. */
#ifndef MUT_REAP_OWN
#define REAPS UNWANTED
#else
#define REAPS (UNWANTED && serial == mine)
#endif
inline reap() {
	if
	:: REAPS ->
	   lockDirectory();
	   if
	   :: REAPS -> freeUnheld()
	   :: else
	   fi;
	   unlockDirectory()
	:: else
	fi
}

/* attachment.take and give: entry.hold and drop */
inline hold() { holds = holds | BIT(LINEOF(ME)) }
inline drop() { holds = holds & ~BIT(LINEOF(ME)) }

/* attachment.tryMake */
inline make(hasName) {
	lockDirectory();
	if                                           /* freeEntry */
	:: UNWANTED -> sweep()
	:: else
	fi;
	if
	:: atomic { state == FREE -> serial++; holds = 0; named = hasName; assert(!(users & ~killed));
		state = MAKING };                    /* entry.describe */
	   /* the memory is reserved and filled */
	   hold();
	   atomic { state = READY; mine = serial; users = BIT(me) };
	   unlockDirectory()
	:: state != FREE ->
	   unlockDirectory()
	fi
}

/* attachment.open, of the object whose serial number was read from the entry or a handle. That an entry is
 * ready is read in two steps, but its serial number does not come back. */
inline open() {
	atomic {
		if
		:: state == READY -> mine = serial
		:: else
		fi
	};
	if
	:: mine ->
	   hold();
	   if
#ifndef MUT_OPEN_BLIND
	   :: atomic { ISREADY(mine) -> users = users | BIT(me) }
	   :: !ISREADY(mine);
	      drop();
	      reap();
	      mine = 0
#else
	   :: atomic { true -> users = users | BIT(me) }
#endif
	   fi
	:: else
	fi
}

/* use.close */
inline close() {
	atomic { assert(serial == mine && state != FREE); users = users & ~BIT(me) };
	drop();
	reap();
	mine = 0
}

/* attachment.remove */
inline remove() {
	lockDirectory();
	if
	:: state == READY && named -> removeEntry()
	:: else
	fi;
	unlockDirectory()
}

/* Table.Claim. What a former party of the line held is cleared before the line says alive. */
#ifndef MUT_CLAIM_LIVING
#define CLAIMABLE(n) (me == 3 && !alive[n] && lineLock[n] == 0)
#else
#define CLAIMABLE(n) (me == 3 && lineLock[n] == 0)
#endif
inline claim(n) {
#if !defined(MUT_NO_CLEAN) && !defined(MUT_CLEAN_LATE)
	holds = holds & ~BIT(n);
#endif
	atomic {
#if !defined(MUT_CLEAN_LATE) && !defined(MUT_CLAIM_LIVING)
		assert(!(holds & BIT(n)) && !alive[n]);
#endif
#ifndef MUT_ID_AGAIN
		gen[n] = gen[n] + 1;
#endif
		alive[n] = 1; idOf[me] = ID(n, gen[n]) };
#ifdef MUT_CLEAN_LATE
	holds = holds & ~BIT(n);
#endif
	skip                                         /* Table.move */
}

proctype Process(byte me) {
	byte bits, mine;
	bit isHeld;
	{
		if
		:: me < 3
		:: atomic { CLAIMABLE(1) -> lineLock[1] = me };
		   claim(1)
		:: me == 3 && (done & 6) == 6 -> goto out
		fi;
		do
		:: atomic { mine == 0 && ops > 0 -> ops-- };
		   if
		   :: make(1)
		   :: make(0)
		   :: open()
		   fi
		:: atomic { ops > 0 -> ops-- };
		   remove()
		:: mine != 0 -> close()
		:: mine == 0 && ops == 0 -> break
		od
	} unless { killed & BIT(me) };
out:	atomic { bits = 0; mine = 0; isHeld = 0; done = done | BIT(me) }
}

/* Table.Scan and announce by one process after the other, again and again. That several announce a death
 * together makes no difference. */
#define ANNOUNCES(p, n) atomic { !line && alive[n] && lineLock[n] == 0 && RUNS(p) -> lineLock[n] = p; line = n; by = p }
proctype Announcer() {
	byte line, by, step;
end:	do
	:: ANNOUNCES(2, 1)
#if DEATHS > 1                       /* process 3 may be killed in it */
	:: ANNOUNCES(3, 1)
#endif
	:: atomic { line && step == 0 && RUNS(by) -> alive[line] = 0; owed = owed | BIT(line); step++ }
	:: atomic { line && step == 1 && RUNS(by) -> lineLock[line] = 0; step++ }
	:: atomic { line && step == 2 && RUNS(by) -> swept = 0; owed = owed & ~BIT(line); line = 0; by = 0; step = 0 }
	:: atomic { line && !RUNS(by) -> line = 0; by = 0; step = 0 }
#ifndef MUT_NOT_AGAIN
	/* Table.Scan: the announcer that wrote DEAD may have been killed before the rest. */
	:: atomic { !line && (owed & BIT(1)) && !alive[1] -> swept = 0; owed = owed & ~BIT(1) }
#endif
	od
}

/* SIGKILL, between any two steps: first process 1, then 3. The kernel releases the locks. */
inline kill(p) {
	deaths--;
	killed = killed | BIT(p);
	if
	:: lineLock[1] == p -> lineLock[1] = 0
	:: else
	fi;
	if
	:: lineLock[2] == p -> lineLock[2] = 0
	:: else
	fi
}
proctype Killer() {
end:	do
	:: atomic { deaths > 0 && RUNS(1) && !(done & BIT(1)) -> kill(1) }
	:: atomic { deaths > 0 && RUNS(3) && killed && !(done & BIT(3)) -> kill(3) }
	od
}

/* Judge runs when no other step is possible. */
proctype Judge() {
	timeout;
	atomic {
		assert((done & 14) == 14 || (done & 14) == 6);
		assert(!lineLock[1] || RUNS(lineLock[1]));
		assert(!owner || DEAD(owner));
		/* what the next owner of the directory sweeps: MAKING, and what is not wanted and not held */
		assert(state == FREE || (state == READY && named) || owner || !swept);
		done = 14
	}
}

init {
	atomic {
		alive[1] = 1; alive[2] = 1; gen[1] = 1; gen[2] = 1;
		lineLock[1] = 1; lineLock[2] = 2;
		idOf[1] = ID(1, 1); idOf[2] = ID(2, 1);
		swept = 1;
		run Process(1); run Process(2); run Process(3);
		run Announcer();
		run Killer(); run Judge()
	}
}
