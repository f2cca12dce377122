package bench

import (
	"context"

	"github.com/seed-2e7ecdea/mp/shm"
)

// A transport is a way for messages.
type transport struct {
	name   string
	shared bool // by several producers and consumers
	kernel bool // the kernel's

	// memory is the room that its objects take in the segment, in bytes.
	memory func(s Scenario) int
	// lay makes it, in the process that started the run.
	lay func(seg *shm.Segment, s Scenario) (*medium, error)
	// open opens a process's side of it.
	open func(seg *shm.Segment, s Scenario, p part) (port, error)
}

var transports = []transport{
	{name: "pipe", shared: true, memory: pipeMemory, lay: layPipe, open: openPipe},
	{name: "queue", shared: true, memory: queueMemory, lay: layQueue, open: openQueue},
	{name: "shm", shared: true, memory: pipeMemory, lay: layPipe, open: openInPlace},
	{name: "os-pipe", kernel: true, memory: noMemory, lay: layOSPipe, open: openFiles},
	{name: "unix-socket", kernel: true, memory: noMemory, lay: layUnixSocket, open: openFiles},
}

func findTransport(name string) *transport {
	for i := range transports {
		if transports[i].name == name {
			return &transports[i]
		}
	}
	return nil
}

// memory is how much shared memory a transport uses in each direction at most,
// but for a few bytes a message, in bytes.
const memory = 8 << 20

func noMemory(Scenario) int { return 0 }

// A port is a process's side of a transport.
type port interface {
	// send sends n messages with the numbers from w on.
	send(w number, n uint64) error
	// receive receives n messages into t, and returns how many it did. It
	// fails with io.EOF when nobody can send any more, with ErrVerify if a
	// message is wrong.
	receive(t *tally, n uint64) (uint64, error)
	close() error
}

// forever is the context of all that ports do: the least work for who waits.
// The waits end with the processes, which the parent's context ends.
var forever = context.Background()
