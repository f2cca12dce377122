package bench

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
)

// measured runs s and checks what holds for every result.
func measured(t *testing.T, s Scenario) Result {
	t.Helper()
	if err := Available(s.Transport); err != nil {
		t.Skip(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := Run(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	s = s.withDefaults()
	if r.Transport != s.Transport || r.Measure != s.Measure || r.Size != s.Size ||
		r.Producers != s.Producers || r.Consumers != s.Consumers || !r.Verified {
		t.Errorf("result %+v of %+v", r, s)
	}
	if s.Messages != 0 && r.Messages != uint64(s.Messages) || r.Messages == 0 {
		t.Errorf("%d messages, want %d", r.Messages, s.Messages)
	}
	if r.CPU <= 0 || r.Switches < 0 {
		t.Errorf("%g ns of CPU time and %g context switches a message", r.CPU, r.Switches)
	}
	if r.Seconds <= 0 || r.MsgsPerSec <= 0 || s.Size > 0 && r.BytesPerSec <= 0 {
		t.Errorf("%g s, %g messages/s, %g bytes/s", r.Seconds, r.MsgsPerSec, r.BytesPerSec)
	}
	ordered := 0 < r.P50 && r.P50 <= r.P90 && r.P90 <= r.P99 && r.P99 <= r.P999 && r.P999 <= r.Max
	if timed := s.Measure != Throughput && s.Measure != Idle; timed != ordered {
		t.Errorf("%s: percentiles %d, %d, %d, %d, maximum %d", s.Measure, r.P50, r.P90, r.P99, r.P999, r.Max)
	}
	return r
}

func TestRun(t *testing.T) {
	for _, transport := range Transports() {
		for _, measure := range MeasuresOf(transport) {
			for _, size := range sizesOf(transport, measure) {
				s := Scenario{Transport: transport, Measure: measure, Size: size, Messages: 1000}
				switch {
				case s.alone():
					s.Messages = 3
				case size > 1024:
					s.Messages = 20
				}
				switch measure {
				case Paced:
					s.Rate = 100_000
				case Idle:
					s.Duration, s.Messages = 5*time.Millisecond, 0
				}
				t.Run(s.Name(), func(t *testing.T) { measured(t, s) })
			}
		}
	}
}

// TestRunSixteen has as many producers and consumers as mpbench is made for.
func TestRunSixteen(t *testing.T) {
	if testing.Short() {
		t.Skip("starts 32 processes")
	}
	measured(t, Scenario{Transport: "queue", Measure: Throughput, Size: 64, Producers: 16, Consumers: 16, Messages: 16000})
}

// TestRunBatches sends batches; the number of messages is no multiple of a batch.
func TestRunBatches(t *testing.T) {
	for _, transport := range BatchTransports() {
		for _, batch := range []int{2, 7, 1024} {
			s := Scenario{Transport: transport, Measure: Throughput, Size: 64, Batch: batch, Messages: 3001}
			t.Run(s.Name(), func(t *testing.T) {
				if r := measured(t, s); r.Batch != batch {
					t.Errorf("batches of %d, want %d", r.Batch, batch)
				}
			})
		}
	}
	measured(t, Scenario{Transport: "queue", Measure: Throughput, Size: 64, Batch: 16, Producers: 2, Consumers: 2, Messages: 3001})
}

func TestRunContents(t *testing.T) {
	for _, content := range Contents() {
		for _, measure := range []string{Throughput, Latency} {
			for _, size := range []int{64, 1024} {
				s := Scenario{Transport: "queue", Measure: measure, Size: size, Content: content, Messages: 1000}
				t.Run(s.Name(), func(t *testing.T) {
					if r := measured(t, s); r.Content != content {
						t.Errorf("content %q, want %q", r.Content, content)
					}
				})
			}
		}
	}
}

func TestRunAmongSeveral(t *testing.T) {
	for _, transport := range SharedTransports() {
		for _, c := range []struct{ producers, consumers, messages int }{{2, 2, 1000}, {3, 1, 1000}, {1, 3, 1000}, {3, 2, 1}} {
			t.Run(fmt.Sprintf("transport=%s/%d:%d", transport, c.producers, c.consumers), func(t *testing.T) {
				measured(t, Scenario{
					Transport: transport, Measure: Throughput, Size: 64,
					Producers: c.producers, Consumers: c.consumers, Messages: c.messages,
				})
			})
		}
	}
}

func TestRunWaits(t *testing.T) {
	for _, wait := range []shm.WaitPolicy{shm.WaitAdaptive, shm.WaitSpin, shm.WaitBlock} {
		for _, transport := range []string{"pipe", "queue", "os-pipe"} {
			t.Run(fmt.Sprintf("wait=%s/transport=%s", wait, transport), func(t *testing.T) {
				want := wait
				if transport == "os-pipe" {
					want = shm.WaitBlock
				}
				r := measured(t, Scenario{Transport: transport, Measure: Throughput, Size: 64, Wait: wait, Messages: 1000})
				if r.Wait != want {
					t.Errorf("waited by policy %s, want %s", r.Wait, want)
				}
			})
		}
	}
}

func TestRunForDuration(t *testing.T) {
	const d = 50 * time.Millisecond
	for _, measure := range []string{Throughput, Latency} {
		r := measured(t, Scenario{Transport: "pipe", Measure: measure, Size: 64, Duration: d})
		if r.Seconds < d.Seconds()/2 || r.Messages < 100 {
			t.Errorf("%s: %d messages in %g s, want %s", measure, r.Messages, r.Seconds, d)
		}
	}
}

// TestRunBriefly measures for a time that is over before the first message: the result is still of some messages.
func TestRunBriefly(t *testing.T) {
	for _, transport := range Transports() {
		for _, measure := range MeasuresOf(transport) {
			if measure == Paced || measure == Idle { // their durations say how many messages there are
				continue
			}
			s := Scenario{Transport: transport, Measure: measure, Size: 64, Duration: 1}
			if measure == Recovery {
				s.Size = 0
			}
			t.Run(s.Name(), func(t *testing.T) {
				if r := measured(t, s); r.Messages < fewest {
					t.Errorf("%d messages, want at least %d", r.Messages, fewest)
				}
			})
		}
	}
}

func TestRunPinned(t *testing.T) {
	measured(t, Scenario{Transport: "pipe", Measure: Throughput, Size: 64, Pin: []int{0}, Messages: 1000})
	if r, err := Run(t.Context(), Scenario{Transport: "pipe", Measure: Throughput, Size: 64, Pin: []int{-1}, Messages: 1}); !errors.Is(err, ErrScenario) {
		t.Errorf("pinned to CPU -1: %+v, %v, want ErrScenario", r, err)
	}
}

// TestRunCancelled ends the context of a run of each transport: the error is the cause.
func TestRunCancelled(t *testing.T) {
	for _, transport := range Transports() {
		t.Run(transport, func(t *testing.T) {
			if err := Available(transport); err != nil {
				t.Skip(err)
			}
			slow := fmt.Errorf("too slow: %w", context.DeadlineExceeded)
			ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, slow)
			defer cancel()
			begin := time.Now()
			_, err := Run(ctx, Scenario{Transport: transport, Measure: MeasuresOf(transport)[0], Size: 64, Duration: time.Hour})
			if !errors.Is(err, slow) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v, want %v", err, slow)
			}
			if d := time.Since(begin); d > 10*time.Second {
				t.Errorf("Run returned after %s", d)
			}
			for p := range proc.Children() {
				t.Errorf("child left: %s", p.Name())
			}
		})
	}
}

// TestRunWithKilled kills a process of a run of each transport: the run fails with the error of a process.
func TestRunWithKilled(t *testing.T) {
	for _, transport := range Transports() {
		if f := findTransport(transport); f.python || f.peer {
			continue // see TestPythonKilled; a peer's processes are another program's
		}
		t.Run(transport, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			s := Scenario{Transport: transport, Measure: MeasuresOf(transport)[0], Size: 64, Duration: time.Hour}.withDefaults()
			victim := s.roles()[len(s.roles())-1].String() + " 0"
			switch {
			case findTransport(transport).one:
				victim = transport
			case victim == "responder 0":
				victim = "responder 1"
			}
			failed := testkit.Async(func() error {
				_, err := Run(ctx, s)
				return err
			})
			testkit.Eventually(t, "kill "+victim, func() bool {
				for p := range proc.Children() {
					if p.Name() == victim {
						return p.Kill() == nil
					}
				}
				return false
			})
			err := testkit.Await(t, failed, "the end of the run")
			var exit *proc.ExitError
			if !errors.As(err, &exit) && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) || errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want that of a killed process, EPIPE or ECONNRESET", err)
			}
			for p := range proc.Children() {
				t.Errorf("child left: %s", p.Name())
			}
		})
	}
}
