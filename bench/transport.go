package bench

import (
	"context"

	"github.com/seed-2e7ecdea/mp/shm"
)

// A transport is a way to send messages from process to process.
type transport struct {
	name   string
	shared bool // can have several producers and consumers
	kernel bool // belongs to the kernel

	// memory returns how many bytes of the segment the transport's objects take.
	memory func(s Scenario) int
	// create makes the transport. The process that called Run calls it.
	create func(seg *shm.Segment, s Scenario) (*link, error)
	// open opens the transport in a process of the run.
	open func(seg *shm.Segment, s Scenario, r role) (port, error)
}

var transports = []transport{
	{name: "pipe", shared: true, memory: pipeMemory, create: createPipe, open: openPipe},
	{name: "queue", shared: true, memory: queueMemory, create: createQueue, open: openQueue},
	{name: "shm", shared: true, memory: pipeMemory, create: createPipe, open: openInPlace},
	{name: "os-pipe", kernel: true, memory: noMemory, create: createOSPipe, open: openFiles},
	{name: "unix-socket", kernel: true, memory: noMemory, create: createUnixSocket, open: openFiles},
}

func findTransport(name string) *transport {
	for i := range transports {
		if transports[i].name == name {
			return &transports[i]
		}
	}
	return nil
}

// memory is the most shared memory that the messages of a transport take in each direction, in bytes. A few
// bytes a message come on top.
const memory = 8 << 20

func noMemory(Scenario) int { return 0 }

// A port sends and receives messages in a process of a run.
type port interface {
	// send sends n messages, numbered from w on.
	send(w number, n uint64) error
	// receive receives n messages, enters them into t, and returns how many it received. It
	// returns io.EOF when no producer is left, and ErrVerify if a message is wrong.
	receive(t *tally, n uint64) (uint64, error)
	close() error
}

// background is the context of all operations of ports. It never ends, which makes waiting
// cheapest. When the context of Run ends, Run kills the processes instead.
var background = context.Background()
