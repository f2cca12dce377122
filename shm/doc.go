// Package shm is memory that processes share: Block, plain named or anonymous
// bytes, and Segment, with a table of the processes attached and a directory of
// typed objects in it.
//
// A program makes a segment, makes objects in it with the packages ring, sync,
// value and array, and hands them to its children as arguments (package proc) or
// to others as a Handle. Anonymous segments leave nothing behind, however their users end:
//
//	seg, err := shm.Anonymous(1<<20, nil)
//	if err != nil {
//		return err
//	}
//	defer seg.Close()
//	queue, err := ring.NewQueue[[32]byte](seg, "words", 16, nil)
package shm
