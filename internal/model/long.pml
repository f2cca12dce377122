/* Long messages of a pipe: ring/piece.go, long_send.go, long_receive.go. Threads 1 to SENDERS send one
 * message of PIECES pieces each, or of one record if RECORDS has their bit. The others receive until the end of
 * file. Each thread is a process of its own. All threads of an end share its side.
 *
 *   CAPACITY  records that fit into the ring
 *   CANCELS   how often a context ends: a sender or a receiver gives up in the middle of a message
 *   DEATHS    how often a process is killed
 *
 * The locks of the two sides are taken in one step: for them see lock.pml and pipe.pml. A thread that waits
 * goes on as soon as what it waits for is there: for lost wakeups see gate.pml and pipe.pml. Accesses are
 * sequentially consistent: for the order of plain stores see internal/litmus. The ring does not turn: an index is
 * a number of records from the beginning.
 *
 * Claims:
 *   - A message is received whole, once, and only if its Send did not fail.
 *   - A message whose Send returned nil is received, unless a receiver was killed: each may lose one.
 *   - No thread waits for ever.
 */
#ifndef SENDERS
#define SENDERS 2
#endif
#ifndef THREADS
#define THREADS 3
#endif
#ifndef PIECES
#define PIECES 3
#endif
#ifndef CAPACITY
#define CAPACITY 2
#endif
#ifndef RECORDS
#define RECORDS 0
#endif
#ifndef DEATHS
#define DEATHS 0
#endif
#ifndef CANCELS
#define CANCELS 0
#endif
#define SIZE 24
#define BIT(t) (1 << (t))
#define DEAD(t) ((killed & BIT(t)) != 0)
#define ISSENDER(t) ((t) <= SENDERS)

/* headers */
#define NONE 0
#define RECORD 1
#define FIRST 2
#define CLAIMED 3
#define NEXT 4
#define LAST 5
#define ABORTED 6
#define AGAIN 7
#ifndef MUT_AGAIN_LEFT
#define NOTHING(h) ((h) == NONE || (h) == AGAIN)
#else
#define NOTHING(h) ((h) == NONE)
#endif

byte header[SIZE];
byte body[SIZE];                     /* the message of a record */
byte tail, head;
byte tx, rx;                         /* owners of the sides */
byte killed, over;                   /* by thread */
byte deaths = DEATHS, cancels = CANCELS;

/* Not in the code: what the claims refer to. */
byte sent, failed, got;              /* by message: its sender */
byte losses;                         /* receivers that were killed */

#define SENDERSBITS ((1 << (SENDERS + 1)) - 2)
#define ALLBITS ((1 << (THREADS + 1)) - 2)
#define NOSENDER (((over | killed) & SENDERSBITS) == SENDERSBITS)
#define NORECEIVERLEFT ((killed & (ALLBITS & ~SENDERSBITS)) == (ALLBITS & ~SENDERSBITS))
#define NORECEIVER (((over | killed) & (ALLBITS & ~SENDERSBITS)) == (ALLBITS & ~SENDERSBITS))

inline lock(side) { atomic { side == 0 || DEAD(side) -> side = me } }
inline unlock(side) { atomic { side = 0 } }

/* stream.repairTail */
inline repair() {
	do
	:: atomic { NOTHING(header[tail]) -> break }
	:: atomic { !NOTHING(header[tail]) -> tail++; assert(tail < SIZE - 2) }
	od
}

/* longSend.abort. The message is done with if done is 0. */
inline abort() {
	if
	:: done == 0
	:: done > 0 ->
	   if                                                       /* stream.takeBack */
#ifndef MUT_TAIL_LAST
	   :: atomic { header[start] == FIRST -> end = tail; tail = start };
	      atomic {
		if
		:: header[start] == FIRST -> header[start] = NONE; done = 0
		:: else -> tail = end
		fi;
		end = 0
	      }
#else
	   :: atomic { header[start] == FIRST -> header[start] = NONE };
	      atomic { tail = start; done = 0 }
#endif
	   :: atomic { header[start] != FIRST }
	   fi;
	   if
	   :: done == 0
	   :: atomic { done > 0 -> header[tail + 1] = NONE };
	      if
	      :: atomic { header[tail] == NONE -> header[tail] = ABORTED };
	         atomic { tail++ }
	      :: atomic { header[tail] != NONE }
	      fi
	   fi
	fi
}

/* The sender starts over. */
#ifndef MUT_RESUMED
#define STARTOVER done = 0
#else
#define STARTOVER header[tail] = NONE
#endif

proctype Sender(byte me) {
	byte done, start, end;
	{
		lock(tx);
		repair();
		do
		:: atomic { NORECEIVER };
		   abort();
		   atomic { failed = failed | BIT(me); break }
		:: atomic { cancels > 0 -> cancels-- };
		   abort();
		   atomic { failed = failed | BIT(me); break }
		:: tail - head < CAPACITY ->
		   if
		   :: atomic { done > 0 && header[tail] == AGAIN -> STARTOVER }  /* stream.pieceSpace */
		   :: atomic { done == 0 || header[tail] != AGAIN };
		      atomic { header[tail + 1] = NONE; body[tail] = me };
		      if
		      :: atomic { done == 0 ->
				start = tail;
				if
				:: RECORDS & BIT(me) -> header[tail] = RECORD; done = PIECES; sent = sent | BIT(me)
				:: else -> header[tail] = FIRST; done = 1
				fi
			 };
		         atomic { tail++; assert(tail < SIZE - 2) }
#ifndef MUT_PLAIN_NEXT
		      :: atomic { done > 0 && header[tail] == NONE ->          /* the CAS of publishPiece */
#else
		      :: atomic { done > 0 ->
#endif
				if
				:: done == PIECES - 1 -> header[tail] = LAST; sent = sent | BIT(me)
				:: else -> header[tail] = NEXT
				fi;
				done++
			 };
		         atomic { tail++; assert(tail < SIZE - 2) }
#ifndef MUT_PLAIN_NEXT
		      :: atomic { done > 0 && header[tail] != NONE -> STARTOVER }
#endif
		      fi;
		      if
		      :: done == PIECES -> break
		      :: else
		      fi
		   fi
		od;
		unlock(tx)
	} unless { DEAD(me) };
	atomic { done = 0; start = 0; end = 0; over = over | BIT(me) }
}

inline received(n) {
	assert(!(failed & BIT(n)));
	assert(!(got & BIT(n)));
	got = got | BIT(n)
}

/* stream.isAbandoned */
#define ABANDONED (!(header[head + 1] == LAST || (header[head + 1] == NEXT && header[head + 2] == LAST)))

proctype Receiver(byte me) {
	byte m, n, h;
	bit orphans;
	{
		do
		:: lock(rx);
front:		   atomic { h = header[head] };                    /* stream.front */
		   if
		   :: atomic { h == NONE || h == AGAIN };
		      if
		      :: atomic { orphans && (header[head] == NONE || header[head] == AGAIN) -> header[head] = AGAIN; orphans = 0 }
		      :: atomic { orphans && header[head] != NONE && header[head] != AGAIN -> goto front }
		      :: !orphans
		      fi;
		      unlock(rx);
		      if
		      :: atomic { header[head] != NONE && header[head] != AGAIN }
		      :: atomic { NOSENDER && (header[head] == NONE || header[head] == AGAIN) -> break }
		      fi
		   :: atomic { h == RECORD -> orphans = 0; received(body[head]); head++ };
		      unlock(rx)
		   :: atomic { h == NEXT || h == LAST || h == ABORTED -> orphans = (h == NEXT); head++; goto front }
		   :: atomic { h == FIRST || h == CLAIMED ->        /* stream.hasDeadSender */
			if
			:: header[head] == h -> n = DEAD(body[head])
			:: header[head] != h -> n = 0           /* what it reads is of another message */
			:: header[head] != h -> n = 1
			fi
		      };
		      if
#ifndef MUT_PASS_UNCLAIMED
		      :: atomic { n == 1 && h == FIRST ->      /* stream.claim */
			n = 0;
			if
			:: header[head] == FIRST -> header[head] = CLAIMED
			:: else
			fi;
			goto front
			}
		      :: atomic { n == 1 && h == CLAIMED && ABANDONED -> n = 0; orphans = 0; head++; goto front }
		      :: atomic { n == 0 || (h == CLAIMED && !ABANDONED) -> n = 0; orphans = 0 }
#else
		      :: atomic { n == 1 && (header[head] != h || ABANDONED) -> n = 0; orphans = 0; head++; goto front }
		      :: atomic { n == 0 || (header[head] == h && !ABANDONED) -> n = 0; orphans = 0 }
#endif
		      fi;
		      if
#ifndef MUT_NO_CLAIM
		      :: atomic { header[head] == FIRST || header[head] == CLAIMED -> header[head] = CLAIMED }
		      :: atomic { header[head] != FIRST && header[head] != CLAIMED };
		         goto drop
#else
		      :: true
#endif
		      fi;
		      atomic { m = body[head]; n = 1 };
		      atomic { head++ };
		      do
		      :: atomic { header[head] == NONE && cancels > 0 -> cancels--; header[head] = AGAIN; break }  /* giveBack */
		      :: atomic { NOTHING(header[head]) && DEAD(m) -> break }
		      :: atomic { NOTHING(header[head]) && NOSENDER -> break }     /* end of file */
		      :: atomic { header[head] == NEXT || header[head] == LAST ->
				h = header[head];
				assert(body[head] == m);
				n++;
				assert(n <= PIECES && (n == PIECES) == (h == LAST))
			 };
		         atomic {
				head++;
				if
				:: h == LAST -> received(m)
				:: else
				fi
			 };
			 if
			 :: h == LAST -> break
			 :: else
			 fi
#ifndef MUT_KEPT
		      :: atomic { header[head] != NONE && header[head] != AGAIN && header[head] != NEXT && header[head] != LAST -> break }
#else
		      :: atomic { header[head] == FIRST || header[head] == ABORTED -> head++ }
		      :: atomic { header[head] == RECORD -> break }
#endif
		      od;
drop:		      unlock(rx)
		   fi;
		   atomic { m = 0; n = 0; h = 0 }
		od
	} unless { DEAD(me) };
	atomic { m = 0; n = 0; h = 0; orphans = 0; over = over | BIT(me) }
}

proctype Killer() {
	byte t = 1;
	do
	:: atomic { deaths > 0 && t <= THREADS && !(over & BIT(t)) ->
		deaths--;
		killed = killed | BIT(t);
		if
		:: !ISSENDER(t) -> losses++
		:: else
		fi;
		t++
	   }
	:: atomic { t <= THREADS -> t++ }
	:: atomic { t > THREADS || deaths == 0 -> t = 0; break }
	od
}

proctype Judge() {
	byte t = 1;
	bit missing;
	atomic {
		(over & ALLBITS) == ALLBITS ->
		do
		:: t <= SENDERS ->
			if
			:: (sent & BIT(t)) && !(got & BIT(t)) && !NORECEIVERLEFT ->
				assert(losses > 0);
				losses--
			:: else
			fi;
			t++
		:: else -> break
		od
	}
}

init {
	byte t = 1;
	atomic {
		do
		:: t <= SENDERS -> run Sender(t); t++
		:: t > SENDERS && t <= THREADS -> run Receiver(t); t++
		:: else -> break
		od;
		run Killer();
		run Judge()
	}
}
