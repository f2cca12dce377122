// Package value holds typed values in shared memory that are whole whoever is
// killed: a reader never blocks and never sees half of a value, and a writer
// killed at any instruction leaves the old value or the new one.
//
//	seg, err := shm.Anonymous(1<<16, nil)
//	...
//	best, err := value.New(seg, "best", Result{}, nil)
//	...
//	best.Store(Result{Score: 7})                    // whole, at once
//	err = best.Update(ctx, func(r *Result) { r.Tries++ })
//	for r, err := range best.Watch(ctx) { ... }      // sleeps until it changes
//
// A value of up to 8 bytes is one atomic word. Of a larger one there are
// several copies. Int64, Uint64 and Float64 can be added to.
//
// A value travels as its handle: it can be a task's argument, or stand in one.
//
// Programs in other languages read and write it at Offset;
// docs/design/values.md has the layout.
package value
