package shm

import "github.com/seed-2e7ecdea/mp/internal/view"

// Offset returns the offset of the object's memory in the segment. It is the offset in the
// segment's file as well, by which programs in other languages find the memory.
func (o *object) Offset() int { return view.Offset(o.a.mem.bytes, o.mem) }
