// Package bench measures how fast messages go from process to process: through
// mp's pipes and queues, and through the kernel's for comparison.
//
//	result, err := bench.Run(ctx, bench.Scenario{
//		Transport: "pipe", Measure: "latency", Size: 64, Duration: time.Second,
//	})
//
// A program that calls Run calls proc.Init first, since each side of a
// transport is a process of its own, started anew for each run.
//
// # Transports
//
//	pipe         ring.Conn: Send and ReceiveInto, which copy
//	queue        ring.Queue: Put and Get, which copy
//	shm          ring.Conn: Reserve, Commit, ReceiveInPlace and Release, which don't
//	os-pipe      the kernel's pipe, with its default capacity
//	unix-socket  the kernel's pair of stream sockets
//
// The kernel's are used by plain system calls, one write and at least one read
// a message.
//
// # What is checked
//
// Each message begins with its sender's number and its own, and ends with them.
// Who uses memory in place writes them into all of it and reads all of it; who
// copies does so to and from memory of its own. Each receiver makes sure that a
// message is whole and that those of one sender come in their order, and the end
// of a run that none was lost and none came twice. Otherwise the run fails with
// ErrVerify.
//
// # What is measured
//
// Throughput: as many messages as can be sent. The clock starts when the
// receivers have got the first 16 to 2048 of a producer, which fill the transport
// once, and stops when they have received the last.
//
// Latency: round trips of a message between two processes, of which one is under
// way at any time. The percentiles are those of a histogram of all round trips
// after the first 16 to 256, exact to three digits.
package bench
