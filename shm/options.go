package shm

import (
	"fmt"

	"github.com/seed-2e7ecdea/mp/internal/party"
	"github.com/seed-2e7ecdea/mp/internal/wait"
)

// A WaitPolicy says how blocked operations wait.
type WaitPolicy uint32

// The wait policies.
const (
	// WaitAdaptive spins while that has lately been enough. Otherwise, if more processes have the segment
	// than there are CPUs, it yields the CPU a few times while that has. Then it sleeps in the kernel. It
	// is the default.
	WaitAdaptive WaitPolicy = iota
	// WaitSpin never sleeps. It has the shortest latency and uses a whole CPU.
	WaitSpin
	// WaitBlock sleeps at once.
	WaitBlock
)

// This does not compile unless the policies have the values of those of package wait.
var _ = [1]int{}[WaitAdaptive-WaitPolicy(wait.Adaptive)+WaitSpin-WaitPolicy(wait.Spin)+WaitBlock-WaitPolicy(wait.Block)]

// String returns the policy's name in lower case.
func (p WaitPolicy) String() string { return wait.Policy(p).String() }

// MarshalText implements encoding.TextMarshaler.
func (p WaitPolicy) MarshalText() ([]byte, error) { return wait.Policy(p).MarshalText() }

// UnmarshalText implements encoding.TextUnmarshaler. It fails with ErrPolicy on text that is not
// the name of a policy.
func (p *WaitPolicy) UnmarshalText(text []byte) error {
	if (*wait.Policy)(p).UnmarshalText(text) != nil {
		return fmt.Errorf("shm: read wait policy: %w %.100q: there are adaptive, spin and block", ErrPolicy, text)
	}
	return nil
}

// check returns ErrPolicy if p is none of the constants.
func (p WaitPolicy) check() error {
	if p > WaitBlock {
		return fmt.Errorf("%w %d: there are WaitAdaptive, WaitSpin and WaitBlock", ErrPolicy, uint32(p))
	}
	return nil
}

// Options are the options for making or opening a segment. A nil *Options, and each zero field,
// means the default.
type Options struct {
	// Parties is the largest number of attachments that a new segment may have at one time, 1 to
	// 1,023. The default is 1,023. Open ignores it.
	Parties int
	// Objects is the largest number of objects that a new segment may have, 1 to 1,048,576. The
	// default is 65,536, or one for each 128 bytes of the segment's size if that is less. An object
	// takes 576 bytes in addition to the segment's size. The memory for them is taken when the
	// number of objects grows. Open ignores Objects.
	Objects int
	// Wait says how this process's operations on the segment wait.
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
