package sync

import "github.com/seed-2e7ecdea/mp/internal/object"

// watch makes sure that this process learns of the deaths of the segment's parties, also of those that no process has
// noticed yet. A goroutine that sleeps learns of them anyway; watch is for methods that return without sleeping, whose
// caller may poll.
func watch(b *object.Base) {
	t := b.Table()
	t.Watch(t.Epoch().Load())
}
