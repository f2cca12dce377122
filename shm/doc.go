// Package shm provides memory that processes share. A Block is plain bytes, with a name or
// anonymous. A Segment has a table of the attached processes and a directory of typed objects.
//
// A program makes a segment, and makes objects in it with the packages ring, sync, value and array.
// It hands the objects to its children as arguments (package proc), or to other processes as a
// Handle. Anonymous segments leave nothing behind, however their users end:
//
//	seg, err := shm.Anonymous(1<<20, nil)
//	if err != nil {
//		return err
//	}
//	defer seg.Close()
//	queue, err := ring.NewQueue[[32]byte](seg, "words", 16, nil)
//
// A nil *Segment is the program's own anonymous segment. It is made when it is first used, reserves
// addresses and no memory, and lasts until the process ends.
//
// # Making and opening objects
//
// Every New function of the packages ring, sync, value and array makes an object in a segment. An
// empty name means that the object has none. New fails with
//
//   - fs.ErrExist, if the segment has an object of that name,
//   - ErrName, if the name is longer than MaxObjectName bytes,
//   - ErrSize, if the object would be too large,
//   - ErrNoSpace, if the segment or the system has no memory for the object, or the directory is
//     full,
//   - ErrClosed, if this process has closed the segment.
//
// New may block for a short time while other processes make or remove objects. The object exists
// when New has returned. No process sees it before it is complete, whichever process is killed.
//
// Every Open function opens the object of that name. Every Unmarshal method opens the object of
// that handle, and attaches this process to its segment if it is not attached. They fail with
//
//   - fs.ErrNotExist, if there is no such object, or it has been removed,
//   - ErrMismatch, if the object is of another kind or holds another type,
//   - ErrCorrupt, if its memory contradicts itself,
//   - ErrVersion, if its memory has the layout of another version of mp,
//   - ErrClosed, if this process has closed the segment,
//   - the errors of Reach, if this process can't be attached to the segment of a handle.
//
// An object with a name lasts until Segment.Remove has removed it and its last user has closed it
// or ended. An object without a name lasts until its last user has closed it or ended. A handle
// alone keeps nothing alive. A child is a user of the objects in its argument from the moment it is
// started.
package shm
