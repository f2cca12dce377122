/* The space of objects that are gone, shm/allocate.go and closings.go. Object A lies in
 * the gap that the maker wants, B elsewhere. Each process has A open, with a method inside, and
 * the first one also B; they are closed in any order, and the garbage collector says at
 * some time after the method's end that it is not inside any more. The maker removes A, waits until
 * nobody holds it, and puts a new object in its place. No method of A may find that.
 *
 * Each process has a process of spin's for what closes, one for the method, and one for
 * its collector. All words are atomics, so there is no store buffer in the model.
 */
#ifndef PROCS
#define PROCS 2
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef OTHERS
#define OTHERS 1                     /* requests for other gaps */
#endif
#define A 0
#define B 1
#define AT(p, x) ((p) * 2 + (x))

byte request;                        /* generation of closings */
byte quiet[PROCS];                   /* 1 + the oldest generation not finished, or 0 */
bit hold[PROCS];                     /* on A */
bit alive[PROCS];
bit inside[PROCS * 2];               /* a method is */
byte closed[PROCS * 2];              /* 1 + the generation of the closing, 0: open, or collected */
bit removed, freed, reused;
byte deaths = DEATHS;

#if PROCS > 1
#define HELD (hold[0] && alive[0] || hold[1] && alive[1])
#else
#define HELD (hold[0] && alive[0])
#endif

/* closings.quiet and SetQuiet, under the process's mutex */
inline publish(p) {
	quiet[p] = (closed[AT(p, A)] == 0 -> closed[AT(p, B)] :
		(closed[AT(p, B)] == 0 || closed[AT(p, A)] < closed[AT(p, B)] -> closed[AT(p, A)] : closed[AT(p, B)]))
}

/* use.close */
inline dropHold(x) {
	if
	:: x == A -> hold[me] = 0;
	   atomic {                                      /* reap, under the directory's lock */
		if
		:: removed && !HELD -> freed = 1
		:: else
		fi }
	:: else
	fi
}
inline close(x) {
#ifdef MUT_HOLD_FIRST
	dropHold(x);
#endif
	g = request;
#ifdef MUT_PUBLISH_LATE
	dropHold(x);
#endif
#ifndef MUT_LATEST
	atomic { closed[AT(me, x)] = g + 1; publish(me) }
#else
	atomic { closed[AT(me, x)] = g + 1; quiet[me] = g + 1 }
#endif
#if !defined(MUT_HOLD_FIRST) && !defined(MUT_PUBLISH_LATE)
	dropHold(x)
#else
	skip
#endif
}

proctype Closer(byte me) {
	byte g;
	{
		if
		:: me == 0 -> close(A); close(B)
		:: me == 0 -> close(B); close(A)
		:: me != 0 -> close(A)
		fi
	} unless { !alive[me] }
}

/* A method of A that is inside from the beginning. */
proctype Method(byte me) {
	{
		do
		:: assert(!reused)
		:: break
		od;
		inside[AT(me, A)] = 0
	} unless { !alive[me] }
}

/* use.collected */
proctype Collector(byte me) {
	byte left = (me == 0 -> 2 : 1);
	{
		do
		:: atomic { closed[AT(me, A)] != 0 && !inside[AT(me, A)] -> closed[AT(me, A)] = 0; left-- }
#ifdef MUT_COLLECT_ALL
		   atomic { quiet[me] = 0 }
#else
		   atomic { publish(me) }
#endif
		:: atomic { closed[AT(me, B)] != 0 && !inside[AT(me, B)] -> closed[AT(me, B)] = 0; left-- }
#ifdef MUT_COLLECT_ALL
		   atomic { quiet[me] = 0 }
#else
		   atomic { publish(me) }
#endif
		:: left == 0 -> break
		od
	} unless { !alive[me] }
}

proctype Maker() {
	byte g, p;
#ifdef MUT_ASK_EARLY
	atomic { request++; g = request }
#endif
	atomic { removed = 1 }                           /* Remove */
	atomic { !HELD -> freed = 1 }                    /* it, a last holder or a sweep frees */
#ifdef MUT_NO_GENERATION
	g = request;
#elif !defined(MUT_ASK_EARLY)
	atomic { request++; g = request }                /* ask */
#endif
	for (p : 0 .. PROCS - 1) {                       /* Table.Loud, again and again */
#ifndef MUT_WAIT_FOR_DEAD
		(!alive[p] || quiet[p] == 0 || quiet[p] - 1 >= g)
#else
		(quiet[p] == 0 || quiet[p] - 1 >= g)
#endif
	}
	reused = 1
}

/* Makers that need other gaps raise request. */
proctype Other() {
	byte n = OTHERS;
	do
	:: n > 0 -> atomic { request++; n-- }
	:: break
	od
}

proctype Killer() {
	byte p;
	do
	:: deaths > 0 -> atomic { select(p : 0 .. PROCS - 1); alive[p] = 0; deaths-- }
	:: break
	od
}

init {
	byte p;
	atomic {
		for (p : 0 .. PROCS - 1) {
			hold[p] = 1;
			alive[p] = 1;
			inside[AT(p, A)] = 1
		}
		for (p : 0 .. PROCS - 1) {
			run Closer(p);
			run Method(p);
			run Collector(p)
		}
		run Maker();
		run Other();
		run Killer()
	}
}
