/* A call that may wait, and Room.Await at a gate, as the inline AWAIT: LOOK is
 * its Try; ARM is its Arm, then Armed.fence. r is PENDING at first, and not any more
 * at the end. Its Pass comes after it, with woken. */
inline AWAIT(g) {
	do
	:: LOOK();
looked:	   if
	   :: atomic { r != PENDING -> forget(); break }
	   :: atomic { r == PENDING && stage == LAST -> r = CANCELLED; forget(); break }
	   :: atomic { r == PENDING && stage == FIRST -> stage = ARMED; readEpoch() }
	   :: atomic { r == PENDING && stage == ARMED && UNMOVED(g) -> dozeOff(g) };
	      sleep(g)
	   :: atomic { r == PENDING && stage == ARMED && !UNMOVED(g) -> wakeUp(g) }
	   :: atomic { r == PENDING && stage == ARMED && !UNMOVED(g) && MAYCANCEL -> cancel(); wakeUp(g) }
	   fi;
#ifdef MUT_NO_REARM
	   if
	   :: stage == LAST
	   :: stage != LAST ->
#endif
		ARM(g);
#ifdef MUT_NO_REARM
	   fi;
#endif
#ifdef MUT_NO_RECHECK
	   if
	   :: atomic { stage == ARMED && UNMOVED(g) -> dozeOff(g) };
	      sleep(g)
	   :: else
	   fi
#endif
	od
}
#undef AWAIT
#undef LOOK
#undef ARM
