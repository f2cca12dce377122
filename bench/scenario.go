package bench

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/sys"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A Scenario is one thing to measure.
type Scenario struct {
	Transport string // one of Transports
	Measure   string // one of Measures
	Size      int    // of a message in bytes, one of Sizes

	// Producers and Consumers are how many processes send and receive, 1 to
	// MaxSide. 0 means 1.
	Producers, Consumers int

	// Wait is how mp's transports wait. The kernel's ignore it.
	Wait shm.WaitPolicy

	// Pin lists the CPUs to which the processes are bound, in turn: the
	// producers first, or the one that begins a round trip. Empty means none.
	Pin []int

	// Duration is how long to measure.
	Duration time.Duration

	// Messages, if it is not 0, is the number of messages or round trips to
	// measure instead.
	Messages int
}

// What is measured.
const (
	Throughput = "throughput"
	Latency    = "latency"
)

// MaxSide is the greatest number of producers, and of consumers.
const MaxSide = 64

// Measures returns what can be measured.
func Measures() []string { return []string{Throughput, Latency} }

// Sizes returns the sizes that messages can have, in bytes.
func Sizes() []int { return []int{8, 64, 1024, 65536, 1048576} }

// Transports returns the names of all transports.
func Transports() []string { return names(func(*transport) bool { return true }) }

// SharedTransports returns those that can have several producers and consumers.
func SharedTransports() []string { return names(func(t *transport) bool { return t.shared }) }

func names(which func(*transport) bool) (list []string) {
	for i := range transports {
		if which(&transports[i]) {
			list = append(list, transports[i].name)
		}
	}
	return list
}

// String returns what is measured, in a few words.
func (s Scenario) String() string {
	s = s.whole()
	text := fmt.Sprintf("%s of %s, %d bytes", s.Measure, s.Transport, s.Size)
	if s.Producers > 1 || s.Consumers > 1 {
		text += fmt.Sprintf(", %d to %d", s.Producers, s.Consumers)
	}
	return text
}

// Validate fails with ErrScenario if there is no such scenario.
func (s Scenario) Validate() error {
	s = s.whole()
	t := findTransport(s.Transport)
	switch {
	case t == nil:
		return fmt.Errorf("%w: transport %q: there are %s", ErrScenario, s.Transport, strings.Join(Transports(), ", "))
	case !slices.Contains(Measures(), s.Measure):
		return fmt.Errorf("%w: measure %q: there are %s", ErrScenario, s.Measure, strings.Join(Measures(), ", "))
	case !slices.Contains(Sizes(), s.Size):
		return fmt.Errorf("%w: size %d: there are %s", ErrScenario, s.Size, list(Sizes()))
	case s.Producers < 1 || s.Producers > MaxSide || s.Consumers < 1 || s.Consumers > MaxSide:
		return fmt.Errorf("%w: %d producers, %d consumers: there are 1 to %d", ErrScenario, s.Producers, s.Consumers, MaxSide)
	case s.Measure == Latency && s.Producers+s.Consumers > 2:
		return fmt.Errorf("%w: %s with %d producers, %d consumers: %s is between one and one, %s among several",
			ErrScenario, s.Measure, s.Producers, s.Consumers, Latency, Throughput)
	case !t.shared && s.Producers+s.Consumers > 2:
		return fmt.Errorf("%w: %s with %d producers, %d consumers: those with several are %s",
			ErrScenario, s.Transport, s.Producers, s.Consumers, strings.Join(SharedTransports(), ", "))
	case s.Wait > shm.WaitBlock:
		return fmt.Errorf("%w: wait policy %d: there are %s, %s, %s", ErrScenario, s.Wait, shm.WaitSpin, shm.WaitAdaptive, shm.WaitBlock)
	case s.Duration < 0 || s.Messages < 0 || s.Duration == 0 && s.Messages == 0:
		return fmt.Errorf("%w: duration %s, %d messages: one of them is more than 0", ErrScenario, s.Duration, s.Messages)
	}
	return s.validatePin()
}

func (s Scenario) validatePin() error {
	if len(s.Pin) == 0 {
		return nil
	}
	cpus, err := sys.CPUs()
	if err != nil {
		return fmt.Errorf("bench: CPUs to pin to: %w", err)
	}
	for _, cpu := range s.Pin {
		if !slices.Contains(cpus, cpu) {
			return fmt.Errorf("%w: pin to CPU %d: there are %s", ErrScenario, cpu, list(cpus))
		}
	}
	return nil
}

func list(numbers []int) string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(numbers), "[]"), " ", ", ")
}

// whole fills in what 0 stands for.
func (s Scenario) whole() Scenario {
	if s.Producers == 0 {
		s.Producers = 1
	}
	if s.Consumers == 0 {
		s.Consumers = 1
	}
	return s
}

// room is about how many messages the shared memory has room for: for round trips
// few, so that they stay in the caches.
func (s Scenario) room() int {
	if s.Measure == Latency {
		return min(memory/s.Size, 16)
	}
	return min(memory/s.Size, 1024)
}

// warmUp is how many messages each producer sends before the clock starts: at
// least as many as fit into the transport's memory, so that all of that has been
// touched.
func (s Scenario) warmUp() uint64 { return uint64(min(max(memory/s.Size, 16), 2048)) }

// warmTrips is how many round trips come before those that count.
func (s Scenario) warmTrips() uint64 { return max(s.warmUp()/8, 16) }

// batch is how many messages a producer sends between two looks at the clock.
func (s Scenario) batch() uint64 { return uint64(min(max(1<<20/s.Size, 1), 256)) }

// share is the number of messages of the i-th producer, 0 if the time decides.
func (s Scenario) share(i int) uint64 {
	n := s.Messages / s.Producers
	if i < s.Messages%s.Producers {
		n++
	}
	return uint64(n)
}

// cast lists the parts to play, one for each process.
func (s Scenario) cast() []part {
	if s.Measure == Latency {
		return []part{caller, responder}
	}
	return append(slices.Repeat([]part{producer}, s.Producers), slices.Repeat([]part{consumer}, s.Consumers)...)
}
