// Package bench measures how fast messages travel from process to process: through
// the pipes and queues of mp, and through those of the kernel for comparison.
//
//	result, err := bench.Run(ctx, bench.Scenario{
//		Transport: "pipe", Measure: "latency", Size: 64, Duration: time.Second,
//	})
//
// A program that calls Run must call proc.Init first, since each producer and consumer
// is a process of its own. Each run starts them anew.
//
// # Transports
//
//	pipe            ring.Conn: Send and ReceiveInto, which copy
//	queue           ring.Queue: PutFrom and GetInto, which copy
//	shm             ring.Conn: Sender and Receiver, which read and write in place
//	broadcast       ring.Broadcast: each consumer is a lossless subscriber, and gets all messages
//	os-pipe         the kernel's pipe, with its default capacity
//	unix-socket     the kernel's pair of stream sockets
//	unix-seqpacket  the kernel's pair of sockets that keep the borders of messages
//	tcp             a connection over the loopback interface, with TCP_NODELAY
//	mqueue          a POSIX message queue of 10 messages
//	channel         channels of Go in one process: buffers move, filled and read in place
//
// In two processes of Python, if python3 is in PATH, which check the same messages:
//
//	python-pipe   multiprocessing.Pipe: send_bytes and recv_bytes_into
//	python-queue  multiprocessing.Queue: put and get
//	python-shm    a multiprocessing.shared_memory.SharedMemory, and two semaphores
//
// In two processes of the program mpbench-peers, if that is in PATH, over a pair of unix sockets:
//
//	zmq      a PAIR socket of github.com/go-zeromq/zmq4
//	grpc     a stream of google.protobuf.BytesValue in both directions, of google.golang.org/grpc
//	net-rpc  calls of net/rpc, one at a time
//
// With other objects of mp:
//
//	array  an array.Array with slots for messages, and two semaphores in each direction, as python-shm
//	value  value.Value: for Throughput, one process stores as often as it can, and the other loads as often
//	       as it can; for Latency, the processes store and watch two of them
//	pool   the argument and the result of a task in the one worker of a pool; for Throughput, 64 tasks are under way
//
// These can only be measured for their latency. A message lies in an array.Array that the two processes hand over by
//
//	lock       three locks, of which each process holds at least one
//	semaphore  two semaphores
//	condition  a condition
//	event      two events
//
// or travels in
//
//	spawn      the argument and the result of a process that is started for it, and joined
//	warm       the same, with a spare process that is ready
//
// With Scenario.Batch, queue uses PutMany and GetMany, and the streams of the kernel carry a batch by one
// write. With Scenario.Content, queue carries values that it encodes.
//
// The kernel's transports are used by plain system calls: one write and at least one read
// a message.
//
// # What is checked
//
// Each message begins and ends with the number of its producer and its own sequence
// number. A process that uses memory in place writes them into all of the message, and reads
// all of it; a process that copies does so to and from memory of its own. Each
// receiver checks that messages are intact and that those of one producer arrive in
// order. At the end, the run checks that no message was lost and none arrived twice. If
// a check fails, Run returns ErrVerify. Of value, which keeps the latest message only, messages may be missed, but the last one
// arrives, and none is older than one that arrived before.
//
// # What is measured
//
// Throughput: the most messages that can be sent. The clock starts when the
// receivers have got the first 16 to 2048 messages of a producer, which fill the transport
// once, and stops when they have received the last.
//
// Latency: round trips of a message between two processes, one message at
// a time. The percentiles are those of a histogram of all round trips
// after the first 16 to 256, exact to three digits.
//
// Paced: messages fall due at a fixed rate. The percentiles are of the time from when a message was
// due, not from when it was sent, to its arrival in the other process. So a message that had to wait
// for one that was late counts as late, too. The producer sleeps and spins until a message is due.
//
// Idle: the CPU time of a consumer that waits for Duration, for each second.
//
// Recovery: a process is killed. The percentiles are of the time from the kill until the lock that
// it held is recovered, the pipe whose other end it held returns the end of file, or (spawn) it is
// joined.
//
// A result also has the CPU time and the context switches of all processes for each message. MeasureLimits measures
// what the machine allows: the round trips of a cache line and of a futex, and the rate of copying.
// Call it before each round of runs, since the host of a virtual machine moves CPUs, and enter its
// result by Result.SetLimits. NewCell makes a median and its interval of the results of several trials,
// and Far tells distances apart.
package bench
