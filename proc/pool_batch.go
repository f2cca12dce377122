package proc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/relay"
)

// A batch is a run of calls of one task that travels to a worker in one message. The worker answers
// each call by a message of its own, in order.
type batch struct {
	task    string
	key     string
	data    []byte  // the calls' encoded arguments, each after its length
	buffer  *[]byte // whose memory data has, if release is to give it back; nil: none
	first   int     // number of the first call among those of work
	n       int     // calls
	work    work
	timeout time.Duration // 0: none
	retries int
	print   func() uint64 // fingerprint of the task's types; of batches that Task makes
	far     *relay.Batch  // as the engine of another machine's workers knows it

	next atomic.Int64 // the first call without an answer; its worker's collector moves it, at the latest before it waits

	// The pool's mutex guards the rest.
	tries   int           // times that the worker of call next was lost
	worker  *worker       // that has it, or gets it at the moment; nil: none
	number  uint64        // of the message, among those of its worker
	sent    time.Duration // by wait.Now
	stopped error         // why its calls are not wanted any more
	expired int64         // 1 + the call whose time is over
	rest    *batch        // what split took away
}

// A work receives the answers of its calls. Each call gets one answer, from any goroutine.
type work interface {
	// deliver is called with the answer of a worker: see answer.
	deliver(i int, worker string, answer []byte)
	// delivered is called, by the same goroutine, after deliver was called n times. Once each call has its
	// answer the memory of the batch may be that of another one.
	delivered(n int)
	// fail is called with an error in place of both.
	fail(i int, err error)
	// took is called when a batch has been answered, with the time for each of its calls.
	took(each time.Duration)
}

// An answer is a message of a worker. Its first byte says what the others are.
const (
	answerReady   = 'r' // the worker is ready
	answerResult  = 'R' // a task's result
	answerObjects = 'O' // a task's result with objects in it: the worker keeps them open until messageOpened
	answerError   = 'E' // a task's error: wireError
	answerPanic   = 'P' // a task's panic: wirePanic
	answerText    = 'e' // a task's error: its text; of workers in other languages
	answerLost    = 'W' // the end of the worker: wireLost; of other machines
	answerLast    = 'L' // a task's error: wireError; the worker begins no other call, and exits
	answerBack    = 'B' // two numbers: the worker will not begin the batches from the first up to before the second
)

// A message to a worker begins with one of these bytes.
const (
	messageBatch  = 'B' // batches: for each, the task's name and, after their number, the arguments; each after its length
	messageBrief  = 'b' // the same: the answers need not wake the pool before the last batch is done
	messageStop   = 'S' // numbers of a batch, and of its first call that may run on
	messageBack   = 'T' // two numbers: the pool takes back the batches from the first up to before the second, if not begun
	messageOpened = 'O' // number of a batch: its results, and those of the batches before it, are decoded
	messageQuit   = 'Q' // the worker is to return
)

// appendCall appends *in, encoded, after its length to data, for a call by p.
func (t *Task[In, Out]) appendCall(p *Pool, data []byte, in *In) ([]byte, error) {
	at := len(data)
	data, seen, err := t.in.encode(append(data, 0), in)
	if err == nil && len(seen) > 0 && !p.engine.local() {
		err = errFarObjects
	}
	if err != nil {
		return data[:at], err
	}
	n := len(data) - at - 1
	if n < 1<<7 {
		data[at] = byte(n)
		return data, nil
	}
	var length [binary.MaxVarintLen64]byte
	k := binary.PutUvarint(length[:], uint64(n))
	data = append(data, length[1:k]...) // as much longer as the length is
	copy(data[at+k:], data[at+1:])
	copy(data[at:], length[:k])
	return data, nil
}

// appendCall appends an encoded argument to data.
func appendCall[B []byte | string](data []byte, argument B) []byte {
	return append(binary.AppendUvarint(data, uint64(len(argument))), argument...)
}

// cutCall returns the first argument in data, and what follows it.
func cutCall(data []byte) (argument, rest []byte, err error) {
	n, k := binary.Uvarint(data)
	if k <= 0 || n > uint64(len(data)-k) {
		return nil, nil, errMessage
	}
	return data[k : k+int(n)], data[k+int(n):], nil
}

var errMessage = errors.New("a message between a pool and its worker is malformed")

// append appends b, as it travels, to a message.
func (b *batch) append(msg []byte) []byte {
	msg = appendCall(msg, b.task)
	msg = binary.AppendUvarint(msg, uint64(b.n))
	return append(msg, b.data...)
}

// parseBatch is the inverse of append, but for the calls' arguments, with which rest begins.
func parseBatch(msg []byte) (task []byte, n int, rest []byte, err error) {
	task, rest, err = cutCall(msg)
	if err != nil {
		return nil, 0, nil, err
	}
	count, k := binary.Uvarint(rest)
	if k <= 0 || count > uint64(len(rest)) {
		return nil, 0, nil, errMessage
	}
	return task, int(count), rest[k:], nil
}

// twoNumbers returns the numbers with which a message or an answer goes on after its first byte.
func twoNumbers(msg []byte) (a, b uint64, err error) {
	a, k := binary.Uvarint(msg[1:])
	if k <= 0 {
		return 0, 0, errMessage
	}
	b, k2 := binary.Uvarint(msg[1+k:])
	if k2 <= 0 {
		return 0, 0, errMessage
	}
	return a, b, nil
}

// appendTwo is the inverse of twoNumbers.
func appendTwo(kind byte, a, b uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint([]byte{kind}, a), b)
}

// cut drops the calls that have an answer.
func (b *batch) cut() {
	next := int(b.next.Swap(0))
	b.data = skipCalls(b.data, next)
	b.first, b.n = b.first+next, b.n-next
}

// split leaves the first n calls in b and returns a batch with the others. No worker has b.
func (b *batch) split(n int) *batch {
	rest := &batch{task: b.task, key: b.key, data: skipCalls(b.data, n), first: b.first + n, n: b.n - n,
		work: b.work, timeout: b.timeout, retries: b.retries, stopped: b.stopped, rest: b.rest}
	b.data, b.n, b.rest = b.data[:len(b.data)-len(rest.data)], n, rest
	b.buffer = nil // rest.data has the same memory
	return rest
}

// longCall is the length from which on the memory of an encoded argument is used again. New memory
// for each would keep the garbage collector busy for longer than the call takes.
const longCall = 1 << 14

// buffers holds the memory of long arguments whose calls have been answered.
var buffers sync.Pool // of *[]byte

// takeBuffer returns memory for an argument of about that length.
func takeBuffer(length int) *[]byte {
	if length < longCall {
		return nil
	}
	if b, _ := buffers.Get().(*[]byte); b != nil {
		return b
	}
	return new([]byte)
}

// release gives the memory of b's arguments back. No worker needs them any more.
func (b *batch) release() {
	if b.buffer != nil && cap(b.data) >= longCall && cap(b.data) <= workerRing {
		*b.buffer = b.data[:0]
		buffers.Put(b.buffer)
	}
	b.data, b.buffer = nil, nil
}

// skipCalls returns data without its first n calls.
func skipCalls(data []byte, n int) []byte {
	for range n {
		_, data, _ = cutCall(data) // appendCall made it
	}
	return data
}

// failAll fails the calls without an answer.
func (b *batch) failAll(err error) {
	for i := int(b.next.Swap(int64(b.n))); i < b.n; i++ {
		b.work.fail(b.first+i, fmt.Errorf("proc: task %q: %w", b.task, err))
	}
}
