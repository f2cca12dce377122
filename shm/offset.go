package shm

import "github.com/seed-2e7ecdea/mp/internal/view"

// Offset returns where the object's memory begins in the segment, and so in
// the segment's file: programs in other languages find it there.
func (o *object) Offset() int { return view.Offset(o.a.mem.bytes, o.mem) }
