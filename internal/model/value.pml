/* The copies of value/copies.go. Threads 1 to WRITERS store and update a value
 * WRITES times each. The others read it READS times each, without a lock. Value
 * number n is in copy n modulo COPIES. A copy has two halves, which are written and
 * read one after the other. They are equal unless the value is torn.
 *
 * The lock of the writers is modelled in lock.pml. Here it is free, or has an owner, and is taken over from an owner that
 * is dead. The model has no store buffers: the stores of a writer become
 * visible in their order (x86), or are atomic operations (elsewhere), so that a buffer only
 * delays them.
 */
#define BIT(n) (1 << (n))

#ifndef WRITERS
#define WRITERS 2
#endif
#ifndef WRITES
#define WRITES 2
#endif
#ifndef READERS
#define READERS 1
#endif
#ifndef READS
#define READS 1
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
#define COPIES 4
#ifndef MUT_LAST_LOOK_LATE
#define NEAR (COPIES - 1)            /* when the number has advanced this far, the copy may be written again */
#else
#define NEAR COPIES
#endif
#define MOST (WRITERS * WRITES)

byte number;                         /* the word */
byte first[COPIES], second[COPIES];  /* the halves of each copy */
byte owner;                          /* of the writers' lock */

/* Not in the code: what the claims refer to. */
byte was[MOST + 1];                  /* value number n */
byte returned;                       /* writes that have returned */
byte deaths = DEATHS;
byte killed;

/* core.read. A reader gets the value that had the number which it
 * loaded, and that value is not torn. */
inline read() {
	do
	:: n = number;
	   a = first[n % COPIES];
	   b = second[n % COPIES];
	   if
#ifndef MUT_NO_LAST_LOOK
	   :: number - n < NEAR -> break
	   :: number - n >= NEAR
#else
	   :: break
#endif
	   fi
	od;
	atomic { assert(a == b && a == was[n]); a = 0; b = 0 }
}

/* Guard.Acquire */
inline acquire() {
#ifdef MUT_NO_LOCK
	skip
#elif defined MUT_DEAD_KEEPS
	atomic { owner == 0 -> owner = me }
#else
	atomic { owner == 0 || (killed & BIT(owner)) -> owner = me }
#endif
}

#ifndef MUT_IN_PLACE
#define NEXT ((n + 1) % COPIES)
#else
#define NEXT (n % COPIES)
#endif

/* core.publish: x becomes value number n + 1, the successor of the value that its writer
 * has read. */
inline publish(x) {
#ifdef MUT_NUMBER_FIRST
	move(x);
#endif
	first[NEXT] = x;
	second[NEXT] = x;
#ifndef MUT_NUMBER_FIRST
	move(x)
#endif
}
inline move(x) { atomic { assert(number == n); number = n + 1; was[n + 1] = x } }

proctype Writer(byte me) {
	byte i, n, a, b;
	{
		do
		:: atomic { i == WRITES -> break }
		:: i < WRITES -> acquire();                      /* Store */
		   n = number;
		   publish(16 * me + i + 1);
		   atomic { owner = 0; returned++; i++; n = 0 }
		:: i < WRITES ->                                 /* Update */
		   do
		   :: read();
		      acquire();
		      if
#ifndef MUT_UPDATE_BLIND
		      :: atomic { number != n -> owner = 0 }
		      :: number == n -> break
#else
		      :: break
#endif
		      fi
		   od;
		   publish(16 * me + i + 1);
		   atomic { owner = 0; returned++; i++; n = 0 }
		od
	} unless { killed & BIT(me) };
	atomic { i = 0; n = 0; a = 0; b = 0 }
}

proctype Reader() {
	byte i, n, a, b, last;
	do
	:: atomic { i == READS -> break }
	:: i < READS -> read();
	   atomic { assert(n >= last); last = n; i++; n = 0 }
	od
}

proctype Killer() {
	do
	:: atomic { deaths > 0 -> deaths--;
		if
		:: killed = killed | BIT(1)
#if WRITERS > 1
		:: killed = killed | BIT(2)
#endif
		fi }
	:: break
	od
}

/* The number of published values is the number of writes that returned, plus at most one for each writer that was
 * killed. The last value is not torn. */
proctype Judge() {
	atomic { _nr_pr == 2 ->
		assert(number >= returned && number <= returned + DEATHS - deaths);
		assert(first[number % COPIES] == was[number] && second[number % COPIES] == was[number])
	}
}

init {
	atomic {
		run Judge();
		run Killer();
		run Writer(1);
#if WRITERS > 1
		run Writer(2);
#endif
		run Reader();
#if READERS > 1
		run Reader()
#endif
	}
}
