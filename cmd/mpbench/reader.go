package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-2e7ecdea/mp/bench"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A reader interprets the texts of flags, and keeps the first error.
type reader struct{ err error }

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// invalid returns the error for the value of a flag, or for an element of a list, that is not one of those wanted. It reads
// as those of package flag do.
func invalid(flag, value, want string) error {
	return fmt.Errorf("invalid value %q for flag -%s: want %s", value, flag, want)
}

// choose returns the elements of a list, each once. They must be among allowed.
func (r *reader) choose(flag string, list option, allowed []string) []string {
	want := "one or more of " + strings.Join(allowed, ",")
	chosen := split(list)
	for _, c := range chosen {
		if !slices.Contains(allowed, c) {
			r.fail(invalid(flag, c, want))
		}
	}
	if len(chosen) == 0 {
		r.fail(invalid(flag, string(list), want))
	}
	return chosen
}

// numbers returns a list of numbers from least to most.
func (r *reader) numbers(flag string, list option, least, most int) (numbers []int) {
	want := fmt.Sprintf("numbers from %d to %d", least, most)
	for _, text := range split(list) {
		n, err := strconv.Atoi(text)
		if err != nil || n < least || n > most {
			r.fail(invalid(flag, text, want))
		}
		numbers = append(numbers, n)
	}
	if len(numbers) == 0 {
		r.fail(invalid(flag, string(list), want))
	}
	return numbers
}

// trials returns a number of trials.
func (r *reader) trials(flag string, text option) int {
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 1 || n > maxTrials {
		r.fail(invalid(flag, string(text), fmt.Sprintf("1 to %d", maxTrials)))
	}
	return n
}

// maxTrials is the most that -trials can be.
const maxTrials = 1000

func (r *reader) duration(flag string, text option) time.Duration {
	d, err := time.ParseDuration(string(text))
	if err != nil || d <= 0 || d > maxDuration {
		r.fail(invalid(flag, string(text), fmt.Sprintf("more than 0 and at most %s, such as 300ms or 2s", maxDuration)))
	}
	return d
}

// maxDuration is the longest that -duration can be.
const maxDuration = 24 * time.Hour

func (r *reader) policy(flag string, text option) (p shm.WaitPolicy) {
	if err := p.UnmarshalText([]byte(text)); err != nil {
		r.fail(invalid(flag, string(text), fmt.Sprintf("%s, %s or %s", shm.WaitAdaptive, shm.WaitSpin, shm.WaitBlock)))
	}
	return p
}

// cpus returns a list of numbers. Scenario.Validate checks that there are such CPUs.
func (r *reader) cpus(flag string, list option) (cpus []int) {
	for _, text := range split(list) {
		n, err := strconv.Atoi(text)
		if err != nil {
			r.fail(invalid(flag, text, "numbers of CPUs, such as 0,1"))
		}
		cpus = append(cpus, n)
	}
	return cpus
}

// place returns the CPUs of a placement, and what they are.
func (r *reader) place(flag string, name option) (cpus []int, what string) {
	p, err := bench.ParsePlacement(string(name))
	if err != nil {
		r.fail(invalid(flag, string(name), "one of "+strings.Join(texts(bench.Placements()), ", ")))
		return nil, ""
	}
	cpus, what, err = p.CPUs()
	if err != nil {
		r.fail(err)
	}
	return cpus, what
}

// flags are the flags that set the fields of a scenario.
var flags = map[string]string{
	"Transport": "transports", "Measure": "measure", "Size": "sizes", "Producers": "producers", "Consumers": "consumers",
	"Wait": "wait", "Rate": "rate", "Batch": "batch", "Content": "content", "Pin": "pin", "Duration": "duration",
}

// asFlag makes an error that names a field of a scenario one that names the flag.
func asFlag(err error) error {
	var wrong *bench.ScenarioError
	if !errors.As(err, &wrong) {
		return err
	}
	return invalid(flags[wrong.Field], strings.Trim(wrong.Value, `"`), wrong.Want)
}

func texts[T any](values []T) []string {
	list := make([]string, len(values))
	for i, v := range values {
		list[i] = fmt.Sprint(v)
	}
	return list
}

// split returns the elements of a list, each once.
func split(list option) []string {
	var parts []string
	for part := range strings.SplitSeq(string(list), ",") {
		if part = strings.TrimSpace(part); part != "" && !slices.Contains(parts, part) {
			parts = append(parts, part)
		}
	}
	return parts
}
