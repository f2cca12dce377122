package sync

import "github.com/seed-2e7ecdea/mp/internal/object"

// watch makes sure that this process notices the deaths of the segment's parties, also those that
// no process has noticed yet. A goroutine that sleeps notices them anyway. Methods that return
// without a sleep call watch, since their callers may poll.
func watch(b *object.Base) {
	t := b.Table()
	t.Watch(t.Epoch().Load())
}
