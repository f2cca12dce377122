package bench

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/shm"
)

// TestErrorTable makes a good scenario wrong in each way: the error names the field, its value and what is allowed.
func TestErrorTable(t *testing.T) {
	const transports = "one of pipe, queue, shm, broadcast, os-pipe, unix-socket, unix-seqpacket, tcp, mqueue, channel, python-pipe, python-queue, python-shm"
	const shared = "one of pipe, queue, shm, broadcast, channel, or one producer and one consumer: there are "
	good := Scenario{Transport: "queue", Measure: Throughput, Size: 64, Duration: time.Second}
	for _, c := range []struct {
		change             func(*Scenario)
		field, value, want string // of the error; empty: none
	}{
		{func(*Scenario) {}, "", "", ""},
		{func(s *Scenario) { s.Producers, s.Consumers = 2, 3 }, "", "", ""},
		{func(s *Scenario) { s.Duration, s.Messages = 0, 1 }, "", "", ""},
		{func(s *Scenario) { s.Transport = "pigeon" }, "Transport", `"pigeon"`, transports},
		{func(s *Scenario) { s.Transport = "" }, "Transport", `""`, transports},
		{func(s *Scenario) { s.Measure = "joy" }, "Measure", `"joy"`, "one of throughput, latency"},
		{func(s *Scenario) { s.Size = 65 }, "Size", "65", "one of 8, 64, 1024, 65536, 1048576 bytes"},
		{func(s *Scenario) { s.Transport, s.Size = "mqueue", 65536 }, "Size", "65536", "one of 8, 64, 1024 bytes, which mqueue carries"},
		{func(s *Scenario) { s.Batch = -1 }, "Batch", "-1", "1 to 1024"},
		{func(s *Scenario) { s.Transport, s.Batch = "pipe", 2 }, "Transport", `"pipe"`, "one of queue, os-pipe, unix-socket, tcp, for batches"},
		{func(s *Scenario) { s.Measure, s.Batch = Latency, 2 }, "Measure", `"latency"`, "throughput, for batches of 2 messages"},
		{func(s *Scenario) { s.Size, s.Batch = 65536, 32 }, "Size", "65536", "at most 32768 bytes, for batches of 32 messages"},
		{func(s *Scenario) { s.Content = "poem" }, "Content", `"poem"`, "one of string, struct, or nothing for bytes"},
		{func(s *Scenario) { s.Transport, s.Content = "pipe", "string" }, "Transport", `"pipe"`, "queue, for messages that are a string"},
		{func(s *Scenario) { s.Size, s.Content = 8, "struct" }, "Size", "8", "64 or 1024 bytes"},
		{func(s *Scenario) { s.Measure, s.Rate = Paced, 0 }, "Rate", "0", "1 to 100000000 messages a second"},
		{func(s *Scenario) { s.Rate = 1 }, "Rate", "1", "0, except for paced"},
		{func(s *Scenario) { s.Transport, s.Measure = "pipe", Recovery }, "Size", "64", "0, since no messages are measured"},
		{func(s *Scenario) { s.Measure, s.Duration, s.Messages = Idle, 0, 1 }, "Duration", "0s", "more than 0"},
		{func(s *Scenario) { s.Producers = -1 }, "Producers", "-1", "1 to 64"},
		{func(s *Scenario) { s.Consumers = MaxSide + 1 }, "Consumers", "65", "1 to 64"},
		{func(s *Scenario) { s.Measure, s.Producers = Latency, 2 }, "Measure", `"latency"`,
			"throughput, or one producer and one consumer: there are 2 producers and 1 consumer"},
		{func(s *Scenario) { s.Transport, s.Consumers = "os-pipe", 2 }, "Transport", `"os-pipe"`, shared + "1 producer and 2 consumers"},
		{func(s *Scenario) { s.Transport, s.Producers = "unix-socket", 2 }, "Transport", `"unix-socket"`, shared + "2 producers and 1 consumer"},
		{func(s *Scenario) { s.Wait = shm.WaitBlock + 1 }, "Wait", "3", "one of adaptive, spin, block"},
		{func(s *Scenario) { s.Duration = 0 }, "Duration", "0s", "more than 0"},
		{func(s *Scenario) { s.Duration = -time.Second }, "Duration", "-1s", "more than 0"},
		{func(s *Scenario) { s.Messages = -1 }, "Messages", "-1", "0 to measure for a Duration"},
		{func(s *Scenario) { s.Pin = []int{-1} }, "Pin", "-1", "the CPUs that this process may use"},
	} {
		t.Run(c.field+c.value, func(t *testing.T) {
			s := good
			c.change(&s)
			err := s.Validate()
			if c.field == "" {
				if err != nil {
					t.Errorf("Validate of %+v: %v", s, err)
				}
				return
			}
			t.Logf("%v", err)
			var wrong *ScenarioError
			if !errors.Is(err, ErrScenario) || !errors.As(err, &wrong) || wrong.Field != c.field || wrong.Value != c.value || !strings.Contains(wrong.Want, c.want) {
				t.Errorf("Validate: %v, want that %s is %s and should be %s", err, c.field, c.value, c.want)
			}
			if _, rerr := Run(t.Context(), s); !errors.As(rerr, &wrong) || rerr.Error() != err.Error() {
				t.Errorf("Run: %v, want %v", rerr, err)
			}
		})
	}
}

func TestShares(t *testing.T) {
	for _, c := range []struct{ messages, producers int }{{1, 1}, {1, 3}, {10, 3}, {12, 4}} {
		s := Scenario{Messages: c.messages, Producers: c.producers}
		sum := uint64(0)
		for i := range c.producers {
			sum += s.share(i)
		}
		if sum != uint64(c.messages) {
			t.Errorf("%d producers have %d messages together, want %d", c.producers, sum, c.messages)
		}
	}
}
