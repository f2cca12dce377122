package main

import (
	"fmt"
	"math"
	"strings"

	"github.com/seed-2e7ecdea/mp/bench"
)

// trials are the results of each scenario of a plan.
type trials [][]bench.Result

// cells returns the cells of the scenarios that have a result.
func (t trials) cells() (cells []bench.Cell) {
	for _, results := range t {
		if len(results) > 0 {
			cells = append(cells, bench.NewCell(results))
		}
	}
	return cells
}

// split tells the trials of rounds with the CPUs near together from those of rounds with CPUs far apart. far is nil
// if the distance did not change much.
func (t trials) split() (near, far trials) {
	var distances []float64
	for _, r := range t.rounds() {
		distances = append(distances, r.Line)
	}
	limit := bench.Far(distances)
	if math.IsInf(limit, 1) {
		return t, nil
	}
	near, far = make(trials, len(t)), make(trials, len(t))
	for i, results := range t {
		for _, r := range results {
			if r.Line < limit {
				near[i] = append(near[i], r)
			} else {
				far[i] = append(far[i], r)
			}
		}
	}
	return near, far
}

// rounds returns one result of each round: those of the first scenario, which each round begins with.
func (t trials) rounds() []bench.Result {
	if len(t) == 0 {
		return nil
	}
	return t[0]
}

// A section is what was measured in the rounds of one kind.
type section struct {
	title  string // "" if all rounds are of one kind
	trials trials
	odd    []bench.Result // one result of each round that is in no section; of the last section
}

// sectionsOf returns a section of all rounds, or, if the CPUs moved, one of those in which they were near together and one
// of those in which they were far apart. A round without a second one of its kind is in no section: one trial has no
// interval, and another program has disturbed it more likely than the host has moved a CPU once. If there are but two rounds,
// both are in one section.
func sectionsOf(t trials) []section {
	var odd []bench.Result
	for {
		near, far := t.split()
		a, b := near.rounds(), far.rounds()
		switch {
		case far == nil || len(a)+len(b) == 2:
			return []section{{trials: t, odd: odd}}
		case len(a) > 1 && len(b) > 1:
			return []section{{title: "CPUs near together", trials: near}, {title: "CPUs far apart", trials: far, odd: odd}}
		case len(b) == 1:
			t, odd = near, append(odd, b...)
		default:
			t, odd = far, append(odd, a...)
		}
	}
}

// left says which rounds are in no section. It is "" if there are none.
func (s *section) left() string {
	if len(s.odd) == 0 {
		return ""
	}
	var lines []string
	for _, r := range s.odd {
		lines = append(lines, nanoseconds(r.Line))
	}
	return fmt.Sprintf("left out: %s in which a cache line took %s there and back, unlike in all others: another program may have used the CPUs",
		plural(len(s.odd), "round"), strings.Join(lines, " and "))
}

// head returns the title with the number of rounds, or "".
func (s *section) head() string {
	if s.title == "" {
		return ""
	}
	return fmt.Sprintf("%s, %s", s.title, plural(len(s.trials.rounds()), "round"))
}

// trialsOf returns the trials of a report.
func trialsOf(r bench.Report) trials {
	t := make(trials, len(r.Results))
	for i, c := range r.Results {
		t[i] = c.Trials
	}
	return t
}
