package main

import (
	"math"

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
