package ring_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/seed-2e7ecdea/mp/internal/step"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/ring"
)

// TestEveryInstruction kills and stops a process at each instruction of each operation.
func TestEveryInstruction(t *testing.T) { steps.Run(t) }

var steps = step.NewTable("ring",
	slices.Concat(queueSteps, encodedSteps, selectSteps, sendSteps, receiveSteps, longSteps, broadcastSteps, newsSteps,
		leaseSteps, batchSteps, joinSteps, slotSteps, holdSteps)...)

// wide is a value that takes several instructions to copy. All its words are equal.
type wide [8]uint64

func wideOf(tag uint64) (v wide) {
	for i := range v {
		v[i] = tag
	}
	return v
}

// tag returns the word of which v consists, or an error if v is torn.
func (v wide) tag() (uint64, error) {
	for _, w := range v {
		if w != v[0] {
			return 0, fmt.Errorf("torn value %v", [8]uint64(v))
		}
	}
	return v[0], nil
}

// The tags of the values and messages that the child and Other put and send. Those of Set are 1, 2,
// ...
const (
	childTag = 7777
	otherTag = 5555
)

// A stepJob is what the child of a row is given.
type stepJob struct {
	Queue *ring.Queue[wide]
	Other *ring.Queue[wide] // of the rows of Select
	Texts *ring.Queue[string]
	Short bool // whether the values of Texts lie in their slots
	Conn  *ring.Conn
	Cells *Cells

	Broadcast *ring.Broadcast[wide]
	News      *ring.Broadcast[string]
}

type (
	stepRow   = step.Row[stepJob]
	stepScene = step.Scene[stepJob]
)

// checkTags checks the tags that are left after a round, against those that are left if the child
// has done nothing. If it puts, childTag may be there once more, and must be if Do has returned. If
// it gets, one may be missing; if Do has returned, the one that it returned.
func checkTags(s *stepScene, o step.Outcome, left, want []uint64, puts bool) {
	s.Helper()
	WantNil(s, "the other's operation", o.OtherErr)
	if o.Err != "" {
		s.Errorf("the child: %s", o.Err)
	}
	var extra []uint64
	missing := slices.Clone(want)
	for _, tag := range left {
		if i := slices.Index(missing, tag); i >= 0 {
			missing = slices.Delete(missing, i, i+1)
		} else {
			extra = append(extra, tag)
		}
	}
	fine := len(missing) == 0 && len(extra) == 0
	switch {
	case puts && (!o.OK() || o.OtherValue == childTag) && fine:
	case puts && len(missing) == 0 && slices.Equal(extra, []uint64{childTag}) && o.OtherValue != childTag:
	case !puts && !o.OK() && len(extra) == 0 && len(missing) <= 1:
	case !puts && o.OK() && len(extra) == 0 && slices.Equal(missing, []uint64{o.Value}):
	default:
		s.Errorf("left are %v, and without the child's operation it would be %v: %+v", left, want, o)
	}
}

// afterOther returns the tags that are left after Other has returned the tag that it put or got.
func afterOther(o step.Outcome, tags []uint64) []uint64 {
	if o.OtherValue == otherTag {
		return append(slices.Clone(tags), otherTag)
	}
	return without(tags, o.OtherValue)
}

// without returns tags without tag.
func without(tags []uint64, tag uint64) []uint64 {
	return slices.DeleteFunc(slices.Clone(tags), func(t uint64) bool { return t == tag })
}
