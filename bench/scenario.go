package bench

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/sys"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A Scenario says what Run measures.
type Scenario struct {
	Transport string // one of Transports
	Measure   string // one of Measures
	Size      int    // of a message, in bytes: one of SizesOf the transport; 0 for Recovery

	// Producers and Consumers are how many processes send and receive: 1 to
	// MaxSide. 0 means 1. Only SharedTransports can have more than 1, and only for Throughput.
	Producers, Consumers int

	// Wait is how the transports of mp wait. The kernel's transports ignore it.
	Wait shm.WaitPolicy

	// Pin lists CPUs. The processes are bound to them in turn: first the producers, or the
	// process that begins a round trip. If Pin is empty, the system chooses.
	Pin []int

	// Duration is how long to measure. Run goes on for longer if it has measured fewer than 8 messages or round trips
	// then. Messages, if it is not 0, is how many messages or round trips
	// to measure instead. One of them must be more than 0, for Idle the Duration.
	Duration time.Duration
	Messages int

	// Batch is how many messages are sent and received at most by one call: 1 to MaxBatch. 0 means 1. More than 1 is
	// for Throughput of BatchTransports, with messages whose Size times Batch is at most 1 MiB.
	Batch int

	// Content is what the messages are: empty for bytes, ContentString or ContentStruct. These are for queue, with
	// a Size of 64 or 1024.
	Content string

	// Rate is how many messages fall due in a second, for Paced: 1 to MaxRate. Otherwise it is 0.
	Rate int
}

// The measures.
const (
	Throughput = "throughput" // messages per second
	Latency    = "latency"    // time of a round trip
	Paced      = "paced"      // time from when a message was due, at a fixed rate, to its arrival
	Idle       = "idle"       // CPU time of a consumer that waits for a message that does not come
	Recovery   = "recovery"   // time from the death of a process to the recovery of what it held
)

// MaxRate is the greatest rate of messages for Paced, in messages per second.
const MaxRate = 100_000_000

// What messages can be if they are not bytes.
const (
	ContentString = "string" // strings of the size of a message
	ContentStruct = "struct" // structs with numbers, a string and a slice, which together have that size
)

// MaxBatch is the greatest number of messages in a batch.
const MaxBatch = 1024

// MaxSide is the greatest number of producers, and the greatest number of consumers.
const MaxSide = 64

// Measures returns the values that Scenario.Measure can have.
func Measures() []string { return []string{Throughput, Latency, Paced, Idle, Recovery} }

// Sizes returns the values that Scenario.Size can have, in bytes.
func Sizes() []int { return []int{8, 64, 1024, 65536, 1048576} }

// Transports returns the values that Scenario.Transport can have.
func Transports() []string { return names(func(*transport) bool { return true }) }

// MeasuresOf returns what can be measured of a transport: some of Measures. It returns nil if there is no such transport.
func MeasuresOf(transport string) []string {
	if t := findTransport(transport); t != nil {
		return slices.Clone(t.can())
	}
	return nil
}

// SizesOf returns the sizes of messages that a transport carries: some of Sizes. It returns nil if there is no such
// transport.
func SizesOf(transport string) []int {
	if t := findTransport(transport); t != nil {
		return t.sizes()
	}
	return nil
}

// Contents returns the values that Scenario.Content can have besides the empty one.
func Contents() []string { return []string{ContentString, ContentStruct} }

// BatchTransports returns the transports that can send and receive several messages by one call.
func BatchTransports() []string { return names(func(t *transport) bool { return t.batches }) }

// SharedTransports returns the transports that can have several producers and consumers.
func SharedTransports() []string { return names(func(t *transport) bool { return t.shared }) }

func names(which func(*transport) bool) (list []string) {
	for i := range transports {
		if which(&transports[i]) {
			list = append(list, transports[i].name)
		}
	}
	return list
}

// String describes s in a few words, such as "latency of pipe, 64 bytes".
func (s Scenario) String() string {
	s = s.withDefaults()
	text := fmt.Sprintf("%s of %s", s.Measure, s.Transport)
	if s.Size > 0 {
		text += fmt.Sprintf(", %d bytes", s.Size)
	}
	if s.Batch > 1 {
		text += fmt.Sprintf(", batches of %d", s.Batch)
	}
	if s.Content != "" {
		text += ", as a " + s.Content
	}
	if s.Rate > 0 {
		text += fmt.Sprintf(", %d a second", s.Rate)
	}
	if s.Producers > 1 || s.Consumers > 1 {
		text += fmt.Sprintf(", %d to %d", s.Producers, s.Consumers)
	}
	return text
}

// Validate returns a *ScenarioError, which wraps ErrScenario, if Run cannot measure s.
func (s Scenario) Validate() error {
	s = s.withDefaults()
	t := findTransport(s.Transport)
	among := "there are " + count(s.Producers, "producer") + " and " + count(s.Consumers, "consumer")
	several := s.Producers > 1 || s.Consumers > 1
	switch {
	case t == nil:
		return wrong("Transport", strconv.Quote(s.Transport), oneOf(Transports()))
	case !slices.Contains(Measures(), s.Measure):
		return wrong("Measure", strconv.Quote(s.Measure), oneOf(Measures()))
	case !slices.Contains(t.can(), s.Measure):
		return wrong("Measure", strconv.Quote(s.Measure), fmt.Sprintf("%s, which is what can be measured of %s", oneOf(t.can()), t.name))
	case s.Measure == Recovery && s.Size != 0:
		return wrong("Size", s.Size, "0, since no messages are measured")
	case s.Measure == Recovery: // it has no size
	case !slices.Contains(Sizes(), s.Size):
		return wrong("Size", s.Size, oneOf(Sizes())+" bytes")
	case !slices.Contains(t.sizes(), s.Size):
		return wrong("Size", s.Size, fmt.Sprintf("%s bytes, which %s carries", oneOf(t.sizes()), t.name))
	}
	if err := s.validateContent(t); err != nil {
		return err
	}
	switch {
	case s.Measure == Paced && (s.Rate < 1 || s.Rate > MaxRate):
		return wrong("Rate", s.Rate, fmt.Sprintf("1 to %d messages a second", MaxRate))
	case s.Measure != Paced && s.Rate != 0:
		return wrong("Rate", s.Rate, "0, except for "+Paced)
	case s.Producers < 1 || s.Producers > MaxSide:
		return wrong("Producers", s.Producers, fmt.Sprintf("1 to %d", MaxSide))
	case s.Consumers < 1 || s.Consumers > MaxSide:
		return wrong("Consumers", s.Consumers, fmt.Sprintf("1 to %d", MaxSide))
	case several && s.Measure != Throughput:
		return wrong("Measure", strconv.Quote(s.Measure), fmt.Sprintf("%s, or one producer and one consumer: %s", Throughput, among))
	case several && !t.shared:
		return wrong("Transport", strconv.Quote(s.Transport), fmt.Sprintf("%s, or one producer and one consumer: %s", oneOf(SharedTransports()), among))
	case s.Wait > shm.WaitBlock:
		return wrong("Wait", uint(s.Wait), oneOf([]shm.WaitPolicy{shm.WaitAdaptive, shm.WaitSpin, shm.WaitBlock}))
	case s.Messages < 0:
		return wrong("Messages", s.Messages, "a number of messages, or 0 to measure for a Duration")
	case s.Duration < 0 || s.Duration == 0 && (s.Messages == 0 || s.Measure == Idle):
		return wrong("Duration", s.Duration, "more than 0")
	}
	return s.validatePin()
}

// validateContent checks Batch and Content, whose transport is t.
func (s Scenario) validateContent(t *transport) error {
	switch {
	case s.Batch < 1 || s.Batch > MaxBatch:
		return wrong("Batch", s.Batch, fmt.Sprintf("1 to %d", MaxBatch))
	case s.Batch > 1 && !t.batches:
		return wrong("Transport", strconv.Quote(s.Transport), fmt.Sprintf("%s, for batches of %d messages", oneOf(BatchTransports()), s.Batch))
	case s.Batch > 1 && s.Measure != Throughput:
		return wrong("Measure", strconv.Quote(s.Measure), fmt.Sprintf("%s, for batches of %d messages", Throughput, s.Batch))
	case s.Batch > 1 && s.Batch*s.Size > 1<<20:
		return wrong("Size", s.Size, fmt.Sprintf("at most %d bytes, for batches of %d messages", 1<<20/s.Batch, s.Batch))
	case s.Content == "":
		return nil
	case !slices.Contains(Contents(), s.Content):
		return wrong("Content", strconv.Quote(s.Content), oneOf(Contents())+", or nothing for bytes")
	case !t.encodes:
		return wrong("Transport", strconv.Quote(s.Transport), "queue, for messages that are a "+s.Content)
	case s.Measure != Throughput && s.Measure != Latency:
		return wrong("Measure", strconv.Quote(s.Measure), Throughput+" or "+Latency+", for messages that are a "+s.Content)
	case s.Size != 64 && s.Size != 1024:
		return wrong("Size", s.Size, "64 or 1024 bytes, for messages that are a "+s.Content)
	case s.Batch > 1:
		return wrong("Batch", s.Batch, "1, for messages that are a "+s.Content)
	}
	return nil
}

func (s Scenario) validatePin() error {
	if len(s.Pin) == 0 {
		return nil
	}
	cpus, err := sys.CPUs()
	if err != nil {
		return fmt.Errorf("bench: list the CPUs that the process may use: %w", err)
	}
	for _, cpu := range s.Pin {
		if !slices.Contains(cpus, cpu) {
			return wrong("Pin", cpu, oneOf(cpus)+", the CPUs that this process may use")
		}
	}
	return nil
}

func wrong(field string, value any, want string) error {
	return &ScenarioError{Field: field, Value: fmt.Sprint(value), Want: want}
}

// oneOf returns the text "one of a, b, c".
func oneOf[T any](list []T) string {
	text := make([]string, len(list))
	for i, v := range list {
		text[i] = fmt.Sprint(v)
	}
	return "one of " + strings.Join(text, ", ")
}

// count returns a number of things, such as "1 producer" or "2 producers".
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// withDefaults returns s with the defaults for the fields that are 0.
func (s Scenario) withDefaults() Scenario {
	if s.Producers == 0 {
		s.Producers = 1
	}
	if s.Consumers == 0 {
		s.Consumers = 1
	}
	if s.Batch == 0 {
		s.Batch = 1
	}
	return s
}

// Name returns the name of the benchmark that measures s, in the form of package testing and without the prefix Benchmark,
// such as "Latency/transport=pipe/size=64". Keys whose value is the default are left out.
func (s Scenario) Name() string {
	s = s.withDefaults()
	name := strings.ToUpper(s.Measure[:1]) + s.Measure[1:] + "/transport=" + s.Transport
	if s.Size > 0 {
		name += fmt.Sprintf("/size=%d", s.Size)
	}
	if s.Producers > 1 || s.Consumers > 1 {
		name += fmt.Sprintf("/producers=%d/consumers=%d", s.Producers, s.Consumers)
	}
	if s.Batch > 1 {
		name += fmt.Sprintf("/batch=%d", s.Batch)
	}
	if s.Content != "" {
		name += "/content=" + s.Content
	}
	if s.Rate > 0 {
		name += fmt.Sprintf("/rate=%d", s.Rate)
	}
	return name
}

// slots returns how many messages, approximately, the transport's memory holds: few for round trips,
// so that they stay in the caches.
func (s Scenario) slots() int {
	if s.Measure == Latency || s.Measure == Recovery {
		return min(memory/max(s.Size, 8), 16)
	}
	return min(memory/s.Size, 1024)
}

// warmUp returns how many messages each producer sends before the clock starts: at
// least as many as the transport's memory holds, so that all of its pages have been touched.
func (s Scenario) warmUp() uint64 { return uint64(min(max(memory/s.Size, 16), 2048)) }

// warmTrips returns how many round trips come before those that are measured: few if each starts a process, and several
// windows of messages if many are under way at a time, so that the memory of all of them has been touched.
func (s Scenario) warmTrips() uint64 {
	switch {
	case findTransport(s.Transport).of(s).starts:
		return 1
	case s.Measure == Throughput:
		return max(s.warmUp(), 4*window)
	}
	return max(s.warmUp()/8, 16)
}

// batch returns how many messages a producer sends before it reads the clock again: one batch or more.
func (s Scenario) batch() uint64 { return uint64(max(min(max(1<<20/s.Size, 1), 256), s.Batch)) }

// share returns how many of the s.Messages measured messages producer i sends.
func (s Scenario) share(i int) uint64 {
	n := s.Messages / s.Producers
	if i < s.Messages%s.Producers {
		n++
	}
	return uint64(n)
}

// fewest is how many messages or round trips a trial measures at least if it measures for a Duration: on a busy machine the
// system may give its processes the CPU for less than one of them in that time.
const fewest = 8

// goesOn reports whether a process that has measured n messages or round trips, in that time, is to measure more.
func (s Scenario) goesOn(n uint64, took time.Duration) bool {
	if s.Messages > 0 {
		return n < uint64(s.Messages)
	}
	return n < fewest || took < s.Duration
}

// alone reports whether there is a caller only.
func (s Scenario) alone() bool { return findTransport(s.Transport).of(s).alone }

// roles returns the role of each process.
func (s Scenario) roles() []role {
	if s.alone() {
		return []role{caller}
	}
	if s.Measure == Latency {
		return []role{caller, responder}
	}
	return append(slices.Repeat([]role{producer}, s.Producers), slices.Repeat([]role{consumer}, s.Consumers)...)
}
