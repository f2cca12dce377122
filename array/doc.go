// Package array holds arrays in shared memory: of any type without pointers,
// and byte strings. Their memory is laid out as C has it, so that programs in any
// language can use it in place.
//
//	points, err := array.New[Point](seg, "points", 1000, nil)
//	...
//	for i := range points.Slice() { ... }   // the shared memory itself
//
// Slice, and Raw of a byte string, are valid until Close of the array or its
// segment, and only while the array can be reached (runtime.KeepAlive). What a
// ShareableList of Python is for an array of records does.
//
// An array does not order what processes do with its elements: that is what its
// lock is for, which several objects may share, or atomic elements
// (array.New[atomic.Int64]). A process that is killed while it changes elements
// leaves them half changed; the next to take the lock is told (ErrOwnerDied), and
// repairs them in Lock.Recover.
//
// An array travels as its handle: it can be a task's argument, or stand in one.
package array
