#ifndef MOVED                        /* what else happens when the epoch advances */
#define MOVED
#endif

#ifndef MAYDIE                       /* whether party p may be killed */
#define MAYDIE(p) 1
#endif

/* Killer models SIGKILL, at any moment between two steps of the threads. It never kills the last
 * thread. killing(p) is what else the model does when party p is killed. The killed
 * threads end before any other step. */
#define MAYKILL(p) (deaths > 0 && MAYDIE(p) && !(killed & BIT(p)) && (CREW(p) & ~done) && (SURVIVE & ~(done | leaving | CREW(p))))
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
	/* From here on, the killed threads may run to their end. */
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
proctype Killer() {
#ifdef SHARED
	byte running;
#endif
end:	do
	:: atomic { deaths + cancels + moves > 0 -> deaths = 0; cancels = 0; moves = 0 }  /* none comes any more */
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
	od
}

/* Announcer models Table.announce and Table.move of any party: what a survivor
 * leaves undone when it is killed, the next one does. */
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
