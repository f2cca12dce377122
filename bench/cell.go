package bench

import (
	"math"
	"slices"
)

// A Cell holds the trials of one scenario. It embeds the result of the median trial, or, if the
// number of trials is even, the worse of the two in the middle. Only OfLimit is not that of this trial: each trial
// is compared with the limit of its own round, and the Cell has the median of these fractions.
type Cell struct {
	Result

	// Low and High enclose the median with the probability Confidence, whatever the distribution of the trials is, if
	// they are independent. They are trials, counted from both ends: for up to five trials the worst
	// and the best. The unit is that of Figure.
	Low        float64 `json:"low"`
	High       float64 `json:"high"`
	Confidence float64 `json:"confidence"`

	Trials []Result `json:"trials"` // in the order in which they ran
}

// NewCell returns a cell of trials, which must be one or more of the same scenario.
func NewCell(trials []Result) Cell {
	c := Cell{Trials: trials}
	sorted := slices.SortedFunc(slices.Values(trials), func(a, b Result) int {
		switch x, y := a.Figure(), b.Figure(); {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	n := len(sorted)
	middle := n / 2
	if n%2 == 0 && trials[0].Measure == Throughput {
		middle--
	}
	c.Result = sorted[middle]
	c.OfLimit = medianOfLimit(trials)
	skip, confidence := interval(n)
	c.Low, c.High, c.Confidence = sorted[skip].Figure(), sorted[n-1-skip].Figure(), confidence
	return c
}

// medianOfLimit returns the median of the trials' fractions of their limits, or, if the number of trials is even, the smaller
// of the two in the middle. A limit that jumps from round to round moves few of the fractions, but may well be that of the
// median trial.
func medianOfLimit(trials []Result) float64 {
	var shares []float64
	for _, r := range trials {
		shares = append(shares, r.OfLimit)
	}
	slices.Sort(shares)
	return shares[(len(shares)-1)/2]
}

// wanted is the confidence that an interval has if there are enough trials.
const wanted = 0.95

// interval returns how many of n sorted trials an interval leaves out at each end, and the probability that
// it holds the median. A trial is on either side of the median with the probability 1/2, so
// that the number below it has a binomial distribution.
func interval(n int) (skip int, confidence float64) {
	below := math.Pow(0.5, float64(n)) // the probability that at most skip trials are below the median
	confidence = 1 - 2*below
	term := below
	for k := 1; k < n/2; k++ {
		term *= float64(n-k+1) / float64(k)
		below += term
		if 1-2*below < wanted {
			break
		}
		skip, confidence = k, 1-2*below
	}
	return skip, max(confidence, 0)
}

// Spread returns half the width of the interval, as a fraction of the middle trial: 0.05 means about
// 5 % up or down. It is 0 if the middle trial is, as it may be for Idle.
func (c Cell) Spread() float64 {
	if c.Figure() == 0 {
		return 0
	}
	return (c.High - c.Low) / 2 / c.Figure()
}

// Far returns a limit for distances: in rounds with that distance or more, the CPUs count as far
// apart, in all others as near together. The limit is the upper end of the largest gap between the
// distances, if that gap is a factor of 2 or more. Otherwise it is infinity, so that all rounds
// count as near.
func Far(distances []float64) float64 {
	lines := slices.Sorted(slices.Values(distances))
	limit, gap := math.Inf(1), 2.0
	for i := 1; i < len(lines); i++ {
		if ratio := lines[i] / lines[i-1]; ratio >= gap {
			limit, gap = lines[i], ratio
		}
	}
	return limit
}
