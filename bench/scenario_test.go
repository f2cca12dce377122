package bench

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/shm"
)

func TestValidate(t *testing.T) {
	good := Scenario{Transport: "queue", Measure: Throughput, Size: 64, Duration: time.Second}
	for _, c := range []struct {
		name   string
		change func(*Scenario)
		says   string // in the error; empty: no error
	}{
		{"good", func(*Scenario) {}, ""},
		{"several", func(s *Scenario) { s.Producers, s.Consumers = 2, 3 }, ""},
		{"messages", func(s *Scenario) { s.Duration, s.Messages = 0, 1 }, ""},
		{"transport", func(s *Scenario) { s.Transport = "pigeon" }, "pipe, queue, shm, os-pipe, unix-socket"},
		{"no transport", func(s *Scenario) { s.Transport = "" }, "pipe, queue, shm, os-pipe, unix-socket"},
		{"measure", func(s *Scenario) { s.Measure = "joy" }, "throughput, latency"},
		{"size", func(s *Scenario) { s.Size = 65 }, "8, 64, 1024, 65536, 1048576"},
		{"negative producers", func(s *Scenario) { s.Producers = -1 }, "1 to 64"},
		{"too many consumers", func(s *Scenario) { s.Consumers = MaxSide + 1 }, "1 to 64"},
		{"latency among several", func(s *Scenario) { s.Measure, s.Producers = Latency, 2 }, "between one and one"},
		{"os-pipe among several", func(s *Scenario) { s.Transport, s.Consumers = "os-pipe", 2 }, "pipe, queue, shm"},
		{"unix-socket among several", func(s *Scenario) { s.Transport, s.Producers = "unix-socket", 2 }, "pipe, queue, shm"},
		{"wait", func(s *Scenario) { s.Wait = shm.WaitBlock + 1 }, "spin, adaptive, block"},
		{"no end", func(s *Scenario) { s.Duration = 0 }, "more than 0"},
		{"negative messages", func(s *Scenario) { s.Messages = -1 }, "more than 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := good
			c.change(&s)
			err := s.Validate()
			if c.says == "" {
				if err != nil {
					t.Errorf("Validate() = %v", err)
				}
				return
			}
			if !errors.Is(err, ErrScenario) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("Validate() = %v, want ErrScenario with %q", err, c.says)
			}
			if _, rerr := Run(t.Context(), s); !errors.Is(rerr, ErrScenario) {
				t.Errorf("Run() = %v, want ErrScenario", rerr)
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
