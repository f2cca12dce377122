// Package relay leads to the inside of package proc's pools, for package cluster. A pool whose workers are on other
// machines is a *proc.Pool with an Engine of package cluster. There, its batches are run by other pools.
package relay

import (
	"errors"
	"time"
)

// ErrVersion means that two programs have different types.
var ErrVersion = errors.New("the programs have different types: build both from the same source")

// A Batch is a run of calls of one task, as it travels.
type Batch struct {
	Task    string
	Print   uint64 // fingerprint of the types of the task's argument and result
	Calls   int
	Data    []byte        // the calls' encoded arguments, each after its length
	Timeout time.Duration // of each call; 0: none
	Retries int           // of each call, after its worker was lost
}

// Answers receives the answers to a Batch: one for each call, from any goroutine.
type Answers interface {
	// Deliver is called with the answer of a worker. The slice is valid only during Deliver.
	Deliver(call int, worker string, answer []byte)
	// Fail is called with an error instead.
	Fail(call int, err error)
	// Took is called when the Batch has been answered, with the time that each of its calls took.
	Took(each time.Duration)
}

// An Engine runs batches elsewhere. Its methods may be called by any number of goroutines at once.
type Engine interface {
	// Submit takes b, and does not wait. After Fail or Drain it returns an error.
	Submit(b *Batch, a Answers) error
	// Stop ends b: what no worker has fails with err, and the contexts of running tasks end. A task that does not
	// return then is killed with its worker, unless gently is true.
	Stop(b *Batch, err error, gently bool)
	// Room returns how many batches it can use at a time.
	Room() int
	// Chunk returns how many calls a batch should have if each takes that long.
	Chunk(each time.Duration) int
	// Workers returns how many workers it has.
	Workers() int
	// Drain makes it take no more batches, and end when all have their answers.
	Drain()
	// Fail makes it take no more batches, and end: all calls without an answer fail with err.
	Fail(err error)
	// Gone returns a channel that is closed when it has ended.
	Gone() <-chan struct{}
	// Stats returns a proc.PoolStats.
	Stats() any
}

// Proc is what package proc does for package cluster. A pool is a *proc.Pool. Package proc fills it in when it is
// initialized.
var Proc struct {
	// NewPool returns a pool with that engine. The timeout and the retries are those of calls that have no other.
	NewPool func(e Engine, timeout time.Duration, retries int) (pool any)
	// Run gives a batch to a pool of this machine, and returns what stops it, as Engine.Stop does. It fails if the pool is
	// closed, if there is no such task or its fingerprint is another one, or if the batch is malformed.
	Run func(pool any, b *Batch, a Answers) (stop func(err error, gently bool), err error)
	// Room returns how many batches a pool of this machine can use at a time.
	Room func(pool any) int
	// Failure appends to dst the answer that makes a call fail with err, at another machine.
	Failure func(dst []byte, err error) []byte
}
