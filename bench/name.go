package bench

import (
	"fmt"
	"strconv"
	"strings"
)

// ParseName returns the scenario whose Name is name. What a name does not say (Wait, Pin, Duration and Messages) is not
// set. It returns an error that wraps ErrScenario if name is not that of a scenario that can be measured.
func ParseName(name string) (Scenario, error) {
	measure, keys, _ := strings.Cut(name, "/")
	s := Scenario{Measure: strings.ToLower(measure)}
	for pair := range strings.SplitSeq(keys, "/") {
		key, value, _ := strings.Cut(pair, "=")
		var err error
		switch key {
		case "transport":
			s.Transport = value
		case "content":
			s.Content = value
		case "size":
			s.Size, err = strconv.Atoi(value)
		case "producers":
			s.Producers, err = strconv.Atoi(value)
		case "consumers":
			s.Consumers, err = strconv.Atoi(value)
		case "batch":
			s.Batch, err = strconv.Atoi(value)
		case "rate":
			s.Rate, err = strconv.Atoi(value)
		default:
			err = fmt.Errorf("unknown key %q", key)
		}
		if err != nil {
			return Scenario{}, fmt.Errorf("%w: %q: %w", ErrScenario, name, err)
		}
	}
	timed := s
	timed.Messages = 1 // which Validate wants
	if s.Measure == Idle {
		timed.Duration = 1
	}
	if err := timed.Validate(); err != nil {
		return Scenario{}, fmt.Errorf("%q: %w", name, err)
	}
	return s, nil
}
