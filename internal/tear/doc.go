// Package tear copies values from and to shared memory that another process may write or read at
// the same time. A copy may be torn, half old and half new. The caller has a word in shared memory
// that shows it: a sequence number, as in a seqlock.
//
//	writer: W1 store the word: the value is being written
//	        W2 Store
//	        W3 store the word: the value is there
//	reader: R1 load the word
//	        R2 Load
//	        R3 load the word again: if it has not changed, the copy is whole
//
// The copy has to stay between the accesses of the word, and other CPUs have to see the writer's
// stores in that order. On amd64 and 386 that is so for plain copies: stores become visible in
// program order, loads are made in program order (TSO), and memmove ends its streaming stores with
// a fence. The gc compiler keeps plain and atomic accesses in program order, because each takes as
// an argument the memory state that the previous one produced.
//
// On other processors, and under the race detector, a value is copied word by word with atomic
// loads and stores. Go has no fences, but its atomic operations are sequentially consistent, so
// they are ordered among themselves and with the accesses of the word.
//
// The value in shared memory must lie at a multiple of 8, and the memory up to the next multiple of
// 8 after it must belong to it.
package tear
