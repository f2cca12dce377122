/* A start from spares: proc/spare.go, spares.go, park.go. The parent, process 0, gives a task to one of
 * SPARES spares; when the spare has ended, or does not answer for too long, to the next one. Spares
 * are killed and stopped by others, DEATHS and STOPS of them, at any step. A stopped spare goes on
 * at any time later, or never. The parent's own death is not here: the kernel kills the spares then.
 *
 * What a process sends stays in the socket when it dies: the channels. The kernel drops the lock of a
 * party when no process has a descriptor of it any more: parties.
 *
 * Claims:
 *   - The task runs at most once, and only in the process for which Start returns.
 *   - Start does not wait for ever, neither for a dead spare nor for a stopped one.
 *   - When nobody can go on, the process for which Start has returned is dead, by its own end or by
 *     others, or stopped, and nobody has the task's party but a stopped process.
 */
#ifndef SPARES
#define SPARES 2
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef STOPS
#define STOPS 1
#endif
#define BIT(n) (1 << (n))

byte dead, stopped;                  /* by spare */
byte deaths = DEATHS, stops = STOPS;
byte parties;                        /* who has a descriptor of the task's party; bit 0: the parent */
bit files[SPARES + 1];               /* in the socket to the spare: the files and, after them, the request */
bit taken[SPARES + 1];               /* in the socket from the spare: frameTaken */

/* Not in the code: what the claims refer to. */
byte runs;                           /* how often the task was begun */
byte ranIn;                          /* the spare that began it last */
byte started;                        /* the spare for which Start has returned; 0: none */
bit over;                            /* Start has returned */

#define ALIVE(s) (!(dead & BIT(s)))
#define GOES(s) (ALIVE(s) && !(stopped & BIT(s)))

/* The end of a process: the kernel closes what it has. */
inline end_(s) { dead = dead | BIT(s); parties = parties & ~BIT(s); files[s] = 0 }

inline begin() { runs++; ranIn = s }

/* heritage.park, serve */
proctype Spare(byte s) {
endParked:
	if
	:: atomic { GOES(s) && files[s] ->            /* ReceiveFiles */
		files[s] = 0;
		parties = parties | BIT(s)
#ifdef MUT_RUN_FIRST
		; begin()
#endif
	   }
	:: atomic { !ALIVE(s) -> goto out }
	fi;
endTaking:
	if
	:: atomic { GOES(s) -> taken[s] = 1 }
	:: atomic { !ALIVE(s) -> goto out }
	fi;
endReading:
	if
	:: atomic { GOES(s) ->                        /* readRequest; call */
#ifndef MUT_RUN_FIRST
		begin()
#endif
	   }
	:: atomic { !ALIVE(s) -> goto out }
	fi;
endRunning:
	if
	:: atomic { GOES(s) -> end_(s) }              /* the task returns */
	:: atomic { !ALIVE(s) -> goto out }
	fi;
out:	skip
}

/* Others kill, stop and continue spares. */
proctype Others() {
	byte s;
endOthers:
	do
	:: atomic { deaths > 0 -> select(s : 1 .. SPARES);
		if
		:: ALIVE(s) -> deaths--; end_(s)
		:: else
		fi }
	:: atomic { stops > 0 -> select(s : 1 .. SPARES); stops--; stopped = stopped | BIT(s) }
	:: atomic { stopped -> stopped = 0 }
	:: break
	od
}

/* Spares.start, spare.take, awaitTaken */
proctype Start() {
	byte s = 1;
	bit got;
	do
	:: s > SPARES -> break                        /* mostGone */
	:: else ->
	   parties = parties | BIT(0);                /* grantAll */
	   atomic {                                   /* SendFiles, and the request follows in the same socket */
		if
		:: ALIVE(s) -> files[s] = 1
		:: else
		fi };
	   got = 0;
	   if
	   :: atomic { taken[s] -> got = 1 }
	   :: !ALIVE(s)                               /* exited */
#ifndef MUT_NO_TIMER
	   :: true                                    /* the timer, or ctx */
#endif
	   fi;
#ifndef MUT_NO_KILL
	   atomic {
		if
		:: !got && ALIVE(s) -> end_(s)        /* Signal(SIGKILL), and <-exited */
		:: else
		fi };
#endif
#ifndef MUT_NO_LOOK
	   atomic { got = got || taken[s] };          /* it may have said so before it died */
#endif
	   atomic {
		if
		:: got -> started = s; parties = parties & ~BIT(0); break         /* release */
		:: else ->
#ifndef MUT_NO_CANCEL
			parties = parties & ~BIT(0);                              /* cancel */
#endif
			s++
		fi }
	od;
	over = 1
}

proctype Judge() {
	timeout ->                                    /* nobody can go on */
	assert(over);
	assert(runs <= 1);
	assert(!runs || ranIn == started);
	assert(!started || !GOES(started));
	assert(!(parties & ~stopped))
}

init {
	byte s;
	atomic {
		run Start(); run Others(); run Judge();
		s = 1;
		do
		:: s <= SPARES -> run Spare(s); s++
		:: else -> break
		od
	}
}
