/* The inline AWAIT models a call that may wait, and Room.Await at a gate. LOOK models
 * its Try, ARM its Arm and then Armed.fence. r is PENDING at the begin, and something else
 * at the end. The model of its Pass comes after AWAIT, and reads woken. */
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
