#ifndef MOVED                        /* what else follows the epoch */
#define MOVED
#endif

#ifndef MAYDIE                       /* of which parties the model has use for the death */
#define MAYDIE(p) 1
#endif

/* Killer is SIGKILL, and SIGSTOP: at any moment, between any two steps of the threads, of
 * which it leaves one. killing(p) is what the model has to do about it. The killed
 * thread comes to its end before anything else happens. */
#define MAYKILL(p) (deaths > 0 && !(halted & BIT(p)) && MAYDIE(p) && !(killed & BIT(p)) && (CREW(p) & ~done) && (SURVIVE & ~(done | leaving | CREW(p))))
inline kill(p) {
#ifdef SHARED
	running = ~done;
#endif
	deaths--;
	killed = killed | BIT(p);
	done = done | CREW(p);
	up = up & ~CREW(p);
	queued[0] = queued[0] & ~CREW(p);
	epochIsAsRead = epochIsAsRead & ~CREW(p);
	gateIsAsRead[0] = gateIsAsRead[0] & ~CREW(p);
#if GATES > 1
	queued[1] = queued[1] & ~CREW(p);
	gateIsAsRead[1] = gateIsAsRead[1] & ~CREW(p);
#endif
	killing(p);
	/* From here on others may run. */
#ifdef SHARED
	if
	:: p == 1 && running & BIT(1) -> set_priority(PIDOF(1), 2)
	:: else
	fi;
	if
	:: p == 1 && running & BIT(2) -> set_priority(PIDOF(2), 2)
	:: p == 3 -> set_priority(PIDOF(3), 2)
	:: else
	fi
#else
	set_priority(PIDOF(p), 2)
#endif
}

#if STOPS > 0
/* A party is stopped between any two steps, if the model has no objection: what
 * it holds it holds. It goes on only when all others have come to their ends, so
 * that they must not depend on it. */
#define MAYSTOP(p) (stops > 0 && !halted && !(killed & BIT(p)) && (CREW(p) & ~done) && HOLDSNOT(p))
inline stop(p) { stops--; stopping(p); halted = BIT(p); frozen = CREW(p); mayBeLate = 1 }
#define OTHERSDONE(p) ((halted & BIT(p)) && !(EVERYBODY & ~CREW(p) & ~done))
#endif
proctype Killer() {
#ifdef SHARED
	byte running;
#endif
end:	do
	:: atomic { deaths + cancels + moves > 0 -> deaths = 0; cancels = 0; moves = 0 }  /* nothing more helps */
	:: atomic { MAYKILL(1) -> kill(1) }
#ifndef SHARED
	:: atomic { MAYKILL(2) -> kill(2) }
#endif
#if THREADS > 2
	:: atomic { MAYKILL(3) -> kill(3) }
#endif
#if THREADS > 3
	:: atomic { MAYKILL(4) -> kill(4) }
#endif
#if STOPS > 0
	:: atomic { MAYSTOP(1) -> stop(1) }
	:: atomic { OTHERSDONE(1) -> halted = 0; frozen = 0 }
#ifndef SHARED
	:: atomic { MAYSTOP(2) -> stop(2) }
	:: atomic { OTHERSDONE(2) -> halted = 0; frozen = 0 }
#endif
#if THREADS > 2
	:: atomic { MAYSTOP(3) -> stop(3) }
	:: atomic { OTHERSDONE(3) -> halted = 0; frozen = 0 }
#endif
#if THREADS > 3
	:: atomic { MAYSTOP(4) -> stop(4) }
	:: atomic { OTHERSDONE(4) -> halted = 0; frozen = 0 }
#endif
#endif
	od
}

/* Announcer is Table.announce and Table.move, whoever does it: what a survivor
 * that is killed here leaves undone, the next does. */
proctype Announcer() {
	byte p;
end:	do
	:: atomic { killed & ~dead ->
		p = 1;
		do
		:: killed & ~dead & BIT(p) -> break
		:: else -> p++
		od;
		dead = dead | BIT(p); p = 0 };       /* Table.announce: the line says DEAD */
	   goto move
	:: atomic { moves > 0 -> moves-- }
	   goto move
	od;
move:	atomic { epochIsAsRead = 0; MOVED }          /* Table.move: epoch.Add */
#ifndef MUT_ANNOUNCE_SILENT
	atomic { up = up | queued[0];                /* Table.move: futex.Wake(epoch, All) */
#if GATES > 1
		up = up | queued[1]
#endif
	}
#endif
	goto end
}
