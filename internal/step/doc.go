// Package step shows that an operation on shared memory survives what can happen to its process at
// any instruction.
//
// A test writes an operation as a Row. A child process performs it on a thread that the test traces
// by ptrace. The test lets the thread execute k machine instructions of the operation, for k = 0,
// 1, 2, ... up to its return, each time in a new child with new objects, and then does one of three
// things:
//
//   - Kill: it kills the child.
//   - Stop: it performs the row's Other, a whole operation of another process on the same object,
//     while the thread is stopped. Then it lets the thread go on. All these rounds together are all
//     interleavings of the two operations with one preemption.
//   - StopKill: it performs Other while the thread is stopped, and then kills the child.
//
// Afterwards the row's Check looks at what is in shared memory.
//
// The thread comes to a point at full speed, by a register of the processor that makes it stop there.
// If it does not come there so, or there are no such registers, it goes step by step, as it does once
// for each row to find the points.
//
// A system call is one instruction. If the thread falls asleep in a system call of mp, being asleep
// is one more point at which the test kills or stops it, and in the rounds with a larger k the
// row's Asleep makes what the thread waits for happen.
//
// The child runs without garbage collection and asynchronous preemption. Its other threads, those
// of the Go runtime, are not traced. So nearly all rounds execute the same instructions. Where one
// does not, since the scheduler came in between, it only means that a point is tried twice and its
// neighbour not.
//
// By default a table tries a few of the points of each row, at a random offset, which it prints.
// With -step.all it tries all of them.
package step
