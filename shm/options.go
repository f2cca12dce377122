package shm

import "github.com/seed-2e7ecdea/mp/internal/wait"

// WaitPolicy says how blocked operations pass the time.
type WaitPolicy = wait.Policy

// The wait policies.
const (
	// WaitAdaptive spins while that has lately paid, then sleeps.
	WaitAdaptive = wait.Adaptive
	// WaitSpin never sleeps: the shortest latency for a whole CPU.
	WaitSpin = wait.Spin
	// WaitBlock sleeps at once.
	WaitBlock = wait.Block
)

// Options are the choices at making or opening a block or segment. Nil means
// all defaults.
type Options struct {
	// Parties is the greatest number of attachments to a new segment at one
	// time, 1 to 255. The default is 255. Blocks ignore it.
	Parties int
	// Objects is the greatest number of objects in a new segment, 1 to
	// 65,536. The default is 256. Each takes 256 bytes beside the segment's
	// size. Blocks ignore it.
	Objects int
	// Wait says how this process's operations on the segment wait. Blocks
	// ignore it.
	Wait WaitPolicy
}

const (
	maxParties     = 255
	maxObjects     = 1 << 16
	defaultObjects = 256
)

func (o *Options) parties() int {
	if o == nil || o.Parties == 0 {
		return maxParties
	}
	return o.Parties
}

func (o *Options) objects() int {
	if o == nil || o.Objects == 0 {
		return defaultObjects
	}
	return o.Objects
}

func (o *Options) wait() WaitPolicy {
	if o == nil {
		return WaitAdaptive
	}
	return o.Wait
}
