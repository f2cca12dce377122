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
//
// A nil *Segment is the program's own anonymous segment. It is made when it is first used, reserves addresses
// and no memory, and lasts until the process ends.
//
// # Making and opening objects
//
// Every New function of the packages ring, sync, value and array makes an object in a segment, with an optional name.
// It fails with
//
//   - fs.ErrExist, if the segment has an object of that name,
//   - ErrName, if the name is longer than MaxObjectName bytes,
//   - ErrSize, if the object would be too large,
//   - ErrNoSpace, if the segment or the system has no memory for it, or the segment no entry in its directory,
//   - ErrClosed, if this process has closed the segment.
//
// It may wait for a short time for other processes that are making or removing objects. The object exists when New has
// returned, whichever process is killed meanwhile; before that no process sees it.
//
// Every Open function opens the object of that name, and every Unmarshal method that of a handle, attaching to its segment if
// need be. They fail with
//
//   - fs.ErrNotExist, if there is no such object, or it was removed,
//   - ErrMismatch, if the object is of another kind or holds another type,
//   - ErrCorrupt or ErrVersion, if its memory makes no sense, or has another layout,
//   - ErrClosed, if this process has closed the segment,
//   - ErrUnreachable, or as Open does, if the segment of a handle can't be reached.
//
// An object lasts until Segment.Remove has removed its name and its last user has closed it, or died; one without a name
// until its last user has. A handle alone keeps nothing alive. When a child is started, it is a user of the objects in its
// argument from that moment on.
package shm
