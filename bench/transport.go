package bench

import (
	"context"
	"slices"

	"github.com/seed-2e7ecdea/mp/shm"
)

// A transport is a way to send messages from process to process.
type transport struct {
	name     string
	measures []string // what can be measured; nil: Throughput, Latency, Paced and Idle
	largest  int      // size of the largest message, in bytes; 0: any of Sizes
	shared   bool     // can have several producers and consumers
	kernel   bool     // belongs to the kernel, and always blocks
	copies   bool     // gives each message to each consumer
	latest   bool     // keeps the latest message only: others are replaced
	batches  bool     // can send and receive several messages by one call
	encodes  bool     // can carry values without a fixed size
	one      bool     // all roles are goroutines of one process
	python   bool     // is run by Python
	peer     bool     // is run by PeersProgram, unless RegisterPeer was called
	alone    bool     // a caller starts the other process itself
	starts   bool     // each message starts a process

	// create makes the transport. The process that called Run calls it. nil if there is nothing to make.
	create func(seg *shm.Segment, s Scenario) (*link, error)
	// open opens the transport in a process of the run.
	open func(seg *shm.Segment, s Scenario, r role) (port, error)
}

// transports is set by init: the functions in it use the list.
var transports []transport

func init() {
	messages := []string{Throughput, Latency}
	transports = []transport{
		{name: "pipe", measures: []string{Throughput, Latency, Paced, Idle, Recovery}, shared: true, create: createPipe, open: openPipe},
		{name: "queue", shared: true, batches: true, encodes: true, create: createQueue, open: openQueue},
		{name: "shm", shared: true, create: createPipe, open: openInPlace},
		{name: "broadcast", shared: true, copies: true, create: createBroadcast, open: openBroadcast},
		{name: "os-pipe", kernel: true, batches: true, create: createOSPipe, open: openFiles},
		{name: "unix-socket", kernel: true, batches: true, create: createUnixSocket, open: openFiles},
		{name: "unix-seqpacket", kernel: true, largest: 65536, create: createPackets, open: openFiles},
		{name: "tcp", kernel: true, batches: true, create: createTCP, open: openFiles},
		{name: mqueue, kernel: true, largest: 1024, create: createMessageQueue, open: openMessageQueue},
		{name: "channel", measures: []string{Throughput, Latency, Paced}, shared: true, one: true},
		{name: "python-pipe", measures: messages, python: true},
		{name: "python-queue", measures: messages, python: true},
		{name: "python-shm", measures: messages, python: true},
		{name: "zmq", measures: messages, kernel: true, peer: true},
		{name: "grpc", measures: messages, kernel: true, peer: true},
		{name: "net-rpc", measures: messages, kernel: true, peer: true},
		{name: "lock", measures: []string{Latency, Recovery}, create: createHandover, open: openHandover},
		{name: "semaphore", measures: []string{Latency}, create: createHandover, open: openHandover},
		{name: "condition", measures: []string{Latency}, create: createHandover, open: openHandover},
		{name: "event", measures: []string{Latency}, create: createHandover, open: openHandover},
		{name: "array", measures: messages, create: createSlots, open: openSlots},
		{name: "value", measures: messages, largest: 65536, latest: true, create: createValue, open: openValue},
		{name: "spawn", measures: []string{Latency, Recovery}, alone: true, starts: true, open: openStart},
		{name: "warm", measures: []string{Latency}, alone: true, starts: true, open: openStart},
		{name: "pool", measures: messages, alone: true, open: openPool},
	}
}

// of returns how a scenario uses t. A recovery takes objects that the caller makes itself.
func (t *transport) of(s Scenario) *transport {
	if s.Measure != Recovery {
		return t
	}
	return &transport{name: t.name, alone: true, starts: true, open: openRecovery}
}

func findTransport(name string) *transport {
	for i := range transports {
		if transports[i].name == name {
			return &transports[i]
		}
	}
	return nil
}

// can returns what can be measured.
func (t *transport) can() []string {
	if t.measures == nil {
		return []string{Throughput, Latency, Paced, Idle}
	}
	return t.measures
}

// sizes returns the sizes of messages that the transport carries.
func (t *transport) sizes() []int {
	if t.largest == 0 {
		return Sizes()
	}
	return slices.DeleteFunc(Sizes(), func(n int) bool { return n > t.largest })
}

// memory is the most memory that the messages of a transport take in each direction, in bytes. A few
// bytes a message come on top.
const memory = 8 << 20

// A port sends and receives messages in a process of a run.
type port interface {
	// send sends n messages, numbered from w on.
	send(w number, n uint64) error
	// receive receives n messages, enters them into t, and returns how many it received. It
	// returns io.EOF when no producer is left, and ErrVerify if a message is wrong.
	receive(t *tally, n uint64) (uint64, error)
	close() error
}

// A preparer is a port that has something to do before each round trip, which is not measured.
type preparer interface{ prepare() error }

// background is the context of all operations of ports. It never ends, which makes waiting
// cheapest. When the context of Run ends, Run kills the processes instead.
var background = context.Background()
