//go:build linux

package history_test

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"
)

// A step is a transition of a model: an operation, a part of one, or a death. It happens at a moment between from and to.
type step struct {
	kind       kind
	process    int // whose
	op         int // index of the operation: its parts have the same
	arg, value uint32
	result     result
	maybe      bool // the process was killed: the step may also never happen
	from, to   uint64

	batch  int  // number of the batch that the operation belongs to, from 1 on; 0: none
	second bool // it is the second of its batch
}

// step returns the step that is all of o, the operation with index i.
func (o op) step(i int) step {
	return step{
		kind: o.kind, process: o.process, op: i, arg: o.arg, value: o.value, result: o.result, maybe: o.pending,
		from: o.called, to: o.returned,
	}
}

// part returns another step of the same operation.
func (s step) part(k kind) step {
	s.kind = k
	return s
}

func (s step) String() string {
	text := fmt.Sprintf("%5d %5d  %4d: process %d  %v(%#x)", s.from, s.to, s.op, s.process, s.kind, s.arg)
	if s.maybe {
		return text + " maybe"
	}
	return fmt.Sprintf("%s = %v %#x", text, s.result, s.value)
}

// plainSteps returns one step for each operation, and none for deaths.
func plainSteps(h *history) (list []step) {
	for i, o := range h.ops {
		list = append(list, o.step(i))
	}
	return list
}

// stepsWithDeaths returns one step for each operation and one for each death.
func stepsWithDeaths(h *history) []step {
	list := plainSteps(h)
	for _, d := range h.deaths {
		list = append(list, step{kind: die, process: d.process, from: d.from, to: d.known})
	}
	return list
}

// modelOf makes a model. next returns the states that can follow s by a step, or none if the
// step is impossible in s. A step that may never happen can also leave the state as it is.
func modelOf[S comparable](begin S, next func(s S, at step) []S) porcupine.Model {
	seed := maphash.MakeSeed()
	m := porcupine.NondeterministicModel{
		Init: func() []any { return []any{begin} },
		Step: func(state, input, _ any) (list []any) {
			at := input.(step)
			for _, s := range next(state.(S), at) {
				list = append(list, s)
			}
			if at.maybe {
				list = append(list, state)
			}
			return list
		},
		Hash:          func(state any) uint64 { return maphash.Comparable(seed, state.(S)) },
		DescribeState: func(state any) string { return fmt.Sprintf("%+v", state) },
	}
	return m.ToModel()
}

// check reports whether a history is linearizable.
func (s *subject) check(h *history) porcupine.CheckResult {
	return porcupine.CheckOperationsTimeout(s.model(h.begin), operations(s.steps(h)), patience)
}

func operations(steps []step) (list []porcupine.Operation) {
	for _, at := range steps {
		list = append(list, porcupine.Operation{ClientId: at.process, Input: at, Call: int64(at.from), Return: int64(at.to)})
	}
	return list
}

// explain describes the longest part of a history that can be ordered, and the steps that cannot follow it.
func (s *subject) explain(h *history) string {
	m := s.model(h.begin)
	steps := s.steps(h)
	_, info := porcupine.CheckOperationsVerbose(m, operations(steps), patience)
	var longest []porcupine.Operation
	for _, list := range info.PartialLinearizationsOperations()[0] {
		if len(list) > len(longest) {
			longest = list
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "begins with %d\n", h.begin)
	ops := slices.Clone(h.ops)
	slices.SortFunc(ops, func(a, b op) int { return cmp.Compare(a.called, b.called) })
	for _, o := range ops {
		fmt.Fprintln(&b, o)
	}
	fmt.Fprintf(&b, "deaths: %+v\nin order, with the state after each:\n", h.deaths)
	state := m.Init()
	left := steps
	for i, o := range longest {
		at := o.Input.(step)
		_, state = m.Step(state, at, nil)
		if i >= len(longest)-20 {
			fmt.Fprintf(&b, "%v: %s\n", at, m.DescribeState(state))
		}
		left = slices.DeleteFunc(left, func(s step) bool { return s == at })
	}
	fmt.Fprintln(&b, "and then none of these:")
	slices.SortFunc(left, func(a, b step) int { return cmp.Compare(a.from, b.from) })
	for _, at := range left[:min(len(left), 20)] {
		fmt.Fprintln(&b, at)
	}
	return b.String()
}
