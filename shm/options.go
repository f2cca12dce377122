package shm

import (
	"github.com/seed-2e7ecdea/mp/internal/party"
	"github.com/seed-2e7ecdea/mp/internal/wait"
)

// WaitPolicy says how blocked operations pass the time.
type WaitPolicy uint32

// The wait policies.
const (
	// WaitAdaptive spins while that has lately paid, then sleeps. It is the default.
	WaitAdaptive WaitPolicy = iota
	// WaitSpin never sleeps: the shortest latency for a whole CPU.
	WaitSpin
	// WaitBlock sleeps at once.
	WaitBlock
)

// They are those of package wait.
var _ = [1]int{}[WaitAdaptive-WaitPolicy(wait.Adaptive)+WaitSpin-WaitPolicy(wait.Spin)+WaitBlock-WaitPolicy(wait.Block)]

// String returns the policy's name in lower case.
func (p WaitPolicy) String() string { return wait.Policy(p).String() }

// MarshalText implements encoding.TextMarshaler.
func (p WaitPolicy) MarshalText() ([]byte, error) { return wait.Policy(p).MarshalText() }

// UnmarshalText implements encoding.TextUnmarshaler. It fails on text that is not the name of a policy.
func (p *WaitPolicy) UnmarshalText(text []byte) error { return (*wait.Policy)(p).UnmarshalText(text) }

// Options are the choices at making or opening a block or segment. Nil means
// all defaults.
type Options struct {
	// Parties is the greatest number of attachments to a new segment at one
	// time, 1 to 1,023. The default is 1,023. Blocks ignore it.
	Parties int
	// Objects is the greatest number of objects in a new segment, 1 to
	// 1,048,576. The default is 65,536, or as many as fit into the segment's size if
	// those are fewer. Each object takes 576 bytes beside the segment's size, once there
	// are so many. Blocks ignore it.
	Objects int
	// Wait says how this process's operations on the segment wait. Blocks
	// ignore it.
	Wait WaitPolicy
}

const (
	maxParties     = party.MaxLines
	maxObjects     = 1 << 20
	defaultObjects = 1 << 16
)

func (o *Options) parties() int {
	if o == nil || o.Parties == 0 {
		return maxParties
	}
	return o.Parties
}

func (o *Options) objects(size int) int {
	if o == nil || o.Objects == 0 {
		return max(1, min(defaultObjects, size/lineSize))
	}
	return o.Objects
}

func (o *Options) wait() WaitPolicy {
	if o == nil {
		return WaitAdaptive
	}
	return o.Wait
}
