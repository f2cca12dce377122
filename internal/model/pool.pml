/* The pool: proc/pool_worker.go, pool_call.go, pool_child.go. WORKERS workers have a feeder and a collector
 * each in the pool's process, which is not killed: the workers die with it. CALLS calls are made, each by a
 * goroutine of its own, each in a batch of its own: by Apply, which may lead, or by Submit.
 *
 *   DEATHS   how often a worker is killed
 *   STEALS   how often batches are taken back for another worker
 *   CANCELS  how often the context of a call ends
 *   RETRIES  how often a call is run again after its worker was lost
 *   WINDOW   batches that a worker may have
 *
 * What happens under the pool's mutex, or the worker's, is one step. Messages stay in a pipe when its sender
 * dies: see pipe.pml. A worker that was lost is replaced in the step in which it is removed. Of the batches
 * that wait, the one with the lowest number is given to a worker first.
 *
 * Claims:
 *   - Each call has one result or one error, and not that of another call.
 *   - A call runs at most once, and once more for each retry.
 *   - No caller waits for ever.
 */
#ifndef WORKERS
#define WORKERS 2
#endif
#ifndef CALLS
#define CALLS 2
#endif
#ifndef DEATHS
#define DEATHS 0
#endif
#ifndef STEALS
#define STEALS 0
#endif
#ifndef CANCELS
#define CANCELS 0
#endif
#ifndef RETRIES
#define RETRIES 0
#endif
#ifndef WINDOW
#define WINDOW 2
#endif
#define BIT(i) (1 << (i))
#define NOBODY 255

mtype = { BATCH, BACK, RESULT };

typedef worker {
	/* the pool's side */
	byte sent;                       /* batches */
	bool asked, parked, led, ending, over;
	bool token;                      /* in unpark */
	bool sending;                    /* the feeder is in Send */
	byte stops;                      /* bits of calls that are to be taken back */
	/* the worker's side */
	bool dead;
	byte begun;                      /* batches that were begun or skipped */
	byte taken;                      /* bits of batches that the pool has taken back */
	byte runs;                       /* the call that it runs */
	bool backing;                    /* the answer to BACK is being sent */
	byte from, to                    /* in it */
}
worker w[WORKERS];
chan messages[WORKERS] = [6] of { mtype, byte, byte };
chan answers[WORKERS] = [6] of { mtype, byte, byte };
chan batches[WORKERS] = [4] of { byte };  /* that the worker has received */

byte pending;                        /* bits of calls */
byte owner[CALLS];                   /* the worker that has the call */
byte number[CALLS];                  /* of its batch */
byte tries[CALLS], ran[CALLS];
byte answered, stopped;              /* bits of calls */
byte deaths = DEATHS, steals = STEALS, cancels = CANCELS;
byte k;                              /* scratch of atomic steps, 0 outside */
byte oldest;                         /* the same, NOBODY outside */

#define HAS(i, c) (owner[c] == (i))
#define NONE_OF(i) (owner[0] != (i) && owner[1] != (i) && (CALLS < 3 || owner[CALLS - 1] != (i)))
#define COUNT(i) ((owner[0] == (i)) + (owner[1] == (i)) + (CALLS == 3 && owner[CALLS - 1] == (i)))
#define QUIET(i) (NONE_OF(i) && !w[i].asked && !w[i].ending)

/* sets oldest to the call that worker i has had longest */
inline findOldest(i) {
	oldest = NOBODY; k = 0;
	do
	:: k == CALLS -> break
	:: k < CALLS ->
	   if
	   :: owner[k] == i && (oldest == NOBODY || number[k] < number[oldest]) -> oldest = k
	   :: else
	   fi;
	   k++
	od;
	k = 0
}

/* the work gets a result or an error */
inline answer(c) { assert((answered & BIT(c)) == 0); answered = answered | BIT(c) }

inline rouse(i) {
	if
	:: w[i].parked && !w[i].led && (w[i].over || !QUIET(i)) -> w[i].token = true
	:: else
	fi
}

inline begin(i, c) { owner[c] = i; number[c] = w[i].sent; w[i].sent++ }

/* worker.handOn */
inline handOn(c) {
	owner[c] = NOBODY;
	if
	:: (stopped & BIT(c)) != 0 -> answer(c)
	:: else -> pending = pending | BIT(c)
	fi
}

/* worker.receive: whoever calls it has the collector's place. */
inline receive(i) {
	if
	:: atomic { answers[i]?RESULT(x, _) ->
		findOldest(i);
		assert(x == oldest);
		owner[x] = NOBODY; oldest = NOBODY;
		answer(x); x = 0
	   }
	:: atomic { answers[i]?BACK(x, y) ->
		w[i].asked = false;
		j = 0;
		do
		:: j == CALLS -> break
		:: j < CALLS ->
		   if
		   :: owner[j] == i && number[j] >= x && number[j] < y -> handOn(j)
		   :: else
		   fi;
		   j++
		od;
		j = 0; x = 0; y = 0
	   }
#ifndef MUT_UNDRAINED
	:: atomic { w[i].dead && empty(answers[i]) -> gone = true }
#else
	:: atomic { w[i].dead -> gone = true }
#endif
	fi
}

proctype Feeder(byte me) {
	byte c, a, b;
end:	do
	:: atomic { !w[me].dead && pending != 0 && COUNT(me) < WINDOW ->
		c = 0;
		do
		:: (pending & BIT(c)) != 0 -> break
		:: else -> c++
		od;
		pending = pending & ~BIT(c);
		begin(me, c);
		rouse(me);
		w[me].sending = true
	   };
	   atomic {
		if
		:: !w[me].dead -> messages[me]!BATCH(c, 0)
		:: w[me].dead
		fi;
		w[me].sending = false; c = 0
	   }
	:: atomic { steals > 0 && !w[me].dead && !w[me].asked && COUNT(me) > 1 -> /* Pool.relieve */
		steals--;
		findOldest(me);
		a = number[oldest] + 1; b = w[me].sent;
		oldest = NOBODY;
		w[me].asked = true;
		w[me].sending = true
	   };
	   atomic {
		if
		:: !w[me].dead -> messages[me]!BACK(a, b)
		:: w[me].dead
		fi;
		w[me].sending = false; a = 0; b = 0
	   }
	:: atomic { !w[me].dead && w[me].stops != 0 -> /* a call that was stopped while it waited there */
		c = 0;
		do
		:: (w[me].stops & BIT(c)) != 0 -> break
		:: else -> c++
		od;
		w[me].stops = w[me].stops & ~BIT(c);
		if
		:: owner[c] == me -> messages[me]!BACK(number[c], number[c] + 1)
		:: else
		fi;
		c = 0
	   }
	od
}

/* worker.collect */
proctype Collector(byte me) {
	byte x, y, j;
	bool gone;
attend:	atomic {
		if
		:: !w[me].over && (w[me].led || QUIET(me)) -> w[me].parked = true
		:: else -> goto take
		fi
	};
end:	atomic {
		if
		:: w[me].token -> w[me].token = false
		:: w[me].dead && !w[me].ending -> w[me].ending = true
		fi;
		if
		:: !w[me].over && (w[me].led || QUIET(me)) -> goto end
		:: else -> w[me].parked = false
		fi
	};
take:	if
	:: w[me].over -> gone = true
	:: else -> receive(me)
	fi;
	if
	:: !gone -> goto attend
	:: else
	fi;
	atomic { !w[me].sending -> /* worker.leave, Pool.remove; its place is taken by another one */
		assert(w[me].dead);
		findOldest(me);
		x = oldest; oldest = NOBODY;
		if
		:: x == NOBODY
		:: x != NOBODY && (stopped & BIT(x)) != 0 -> handOn(x)
#ifndef MUT_RUN_AGAIN
		:: x != NOBODY && (stopped & BIT(x)) == 0 && tries[x] == RETRIES -> owner[x] = NOBODY; answer(x)
		:: x != NOBODY && (stopped & BIT(x)) == 0 && tries[x] < RETRIES -> tries[x]++; handOn(x)
#else
		:: x != NOBODY && (stopped & BIT(x)) == 0 -> handOn(x)
#endif
		fi;
		j = 0;
		do
		:: j == CALLS -> break
		:: j < CALLS ->
		   if
		   :: owner[j] == me -> handOn(j)
		   :: else
		   fi;
		   j++
		od;
		j = 0; x = 0; gone = false;
		do
		:: messages[me]?_, _, _
		:: batches[me]?_
		:: empty(messages[me]) && empty(batches[me]) -> break
		od;
#ifdef MUT_UNDRAINED
		do
		:: answers[me]?_, _, _
		:: empty(answers[me]) -> break
		od;
#endif
		w[me].sent = 0; w[me].asked = false; w[me].parked = false; w[me].ending = false; w[me].over = false;
		w[me].token = false; w[me].stops = 0;
		w[me].begun = 0; w[me].taken = 0; w[me].runs = NOBODY; w[me].backing = false;
		w[me].from = 0; w[me].to = 0;
		w[me].dead = false
	};
	goto attend
}

/* The worker's process. One goroutine runs the calls; it, or the one that stands in for it, receives. */
proctype Worker(byte me) {
	byte c;
end:	do
	:: atomic { !w[me].dead && !w[me].backing && messages[me]?[BATCH, _, _] ->
		messages[me]?BATCH(c, _);
		batches[me]!c; c = 0
	   }
	:: atomic { !w[me].dead && !w[me].backing && messages[me]?[BACK, _, _] -> /* server.giveBack */
		messages[me]?BACK(w[me].from, w[me].to);
#ifndef MUT_BEGUN_BLIND
		if
		:: w[me].from < w[me].begun -> w[me].from = w[me].begun
		:: else
		fi;
#endif
		c = w[me].from;
		do
		:: c < w[me].to -> w[me].taken = w[me].taken | BIT(c); c++
		:: else -> break
		od;
		c = 0;
		w[me].backing = true
	   }
	:: atomic { !w[me].dead && w[me].backing ->
		answers[me]!BACK(w[me].from, w[me].to);
		w[me].backing = false; w[me].from = 0; w[me].to = 0
	   }
	:: atomic { !w[me].dead && w[me].runs == NOBODY && nempty(batches[me]) -> /* server.beginBatch */
		batches[me]?c;
		w[me].begun++;
#ifndef MUT_NO_SKIP_TAKEN
		if
		:: (w[me].taken & BIT(w[me].begun - 1)) != 0
		:: else ->
#endif
			w[me].runs = c;
			ran[c]++;
			assert(ran[c] <= 1 + tries[c])
#ifndef MUT_NO_SKIP_TAKEN
		fi
#endif
		; c = 0
	   }
	:: atomic { !w[me].dead && w[me].runs != NOBODY ->
		answers[me]!RESULT(w[me].runs, 0);
		w[me].runs = NOBODY
	   }
	od
}

/* A goroutine that calls Apply or Submit. */
proctype Caller(byte c) {
	byte i, x, y, j;
	bool gone;
	atomic { /* Pool.call */
		i = 0;
		do
		:: i == WORKERS -> break
		:: i < WORKERS ->
		   if
#ifndef MUT_SENDS_BETWEEN
		   :: w[i].parked && !w[i].led && QUIET(i) && pending == 0 && !w[i].sending && w[i].stops == 0 -> break
#else
		   :: w[i].parked && !w[i].led && pending == 0 && w[i].stops == 0 -> break
#endif
		   :: else -> i++
		   fi
		od;
		if
		:: i < WORKERS -> w[i].led = true; begin(i, c);
			if
			:: !w[i].dead -> messages[i]!BATCH(c, 0)
			:: w[i].dead /* the message was sent, and nobody reads it */
			fi
		:: pending = pending | BIT(c); i = WORKERS /* there is no such worker, or it is Submit */
		fi
	};
	do
	:: i == WORKERS || gone || (answered & BIT(c)) != 0 -> break
	:: i < WORKERS && !gone && (answered & BIT(c)) == 0 -> receive(i)
	od;
	if
	:: i < WORKERS -> atomic { /* the end of worker.lead */
		w[i].led = false;
		if
		:: gone -> w[i].over = true
		:: else
		fi
#ifndef MUT_LEAVE_SILENT
		; rouse(i)
#endif
	   }
	:: else
	fi;
	(answered & BIT(c)) != 0
}

/* Kills and ends contexts. */
proctype Fate() {
	byte i, c;
end:	do
	:: atomic { deaths > 0 -> deaths--;
		i = 0;
		do
		:: break
		:: i < WORKERS - 1 -> i++
		od;
		w[i].dead = true; i = 0
	   }
	:: atomic { cancels > 0 -> cancels--; /* Pool.stop */
		c = 0;
		do
		:: break
		:: c < CALLS - 1 -> c++
		od;
		if
		:: (pending & BIT(c)) != 0 -> pending = pending & ~BIT(c); stopped = stopped | BIT(c); answer(c)
		:: owner[c] != NOBODY ->
			stopped = stopped | BIT(c);
			findOldest(owner[c]);
			if
			:: oldest != c -> w[owner[c]].stops = w[owner[c]].stops | BIT(c)
			:: else
			fi;
			oldest = NOBODY
		:: else /* not made, or answered */
		fi;
		c = 0
	   }
	:: atomic { (stopped & ~answered) != 0 -> /* the grace is over: worker.killAfterGrace */
		c = 0;
		do
		:: (stopped & ~answered & BIT(c)) != 0 -> break
		:: else -> c++
		od;
		if
		:: owner[c] != NOBODY ->
			findOldest(owner[c]);
			if
			:: oldest == c -> w[owner[c]].dead = true
			:: else
			fi;
			oldest = NOBODY
		:: else
		fi;
		c = 0
	   }
	:: atomic { deaths > 0 -> deaths-- }     /* there are no more */
	:: atomic { cancels > 0 -> cancels-- }
	:: atomic { steals > 0 -> steals-- }
	od
}

init {
	byte i;
	atomic {
		oldest = NOBODY;
		do
		:: i == CALLS -> break
		:: i < CALLS -> owner[i] = NOBODY; i++
		od;
		i = 0;
		do
		:: i == WORKERS -> break
		:: i < WORKERS ->
		   w[i].runs = NOBODY;
		   run Feeder(i); run Collector(i); run Worker(i);
		   i++
		od;
		i = 0;
		do
		:: i == CALLS -> break
		:: i < CALLS -> run Caller(i); i++
		od;
		run Fate()
	}
}
