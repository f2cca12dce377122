package bench

import (
	"context"
	"strings"
	"testing"
	"time"
)

func BenchmarkThroughput(b *testing.B) { benchmarkScenarios(b, Throughput) }

func BenchmarkLatency(b *testing.B) { benchmarkScenarios(b, Latency) }

func BenchmarkPaced(b *testing.B) { benchmarkScenarios(b, Paced) }

func BenchmarkIdle(b *testing.B) { benchmarkScenarios(b, Idle) }

func BenchmarkRecovery(b *testing.B) { benchmarkScenarios(b, Recovery) }

// benchmarkScenarios runs every scenario of a measure with b.N messages. The metrics leave out the time in which
// the processes start.
func benchmarkScenarios(b *testing.B, measure string) {
	for _, transport := range Transports() {
		for _, size := range sizesOf(transport, measure) {
			s := Scenario{Transport: transport, Measure: measure, Size: size}
			if measure == Paced {
				s.Rate = 10_000
			}
			if measure == Idle {
				s.Duration = 100 * time.Millisecond
			}
			if s.Messages = 1; s.Validate() != nil {
				continue // it cannot be measured of this transport
			}
			_, keys, _ := strings.Cut(s.Name(), "/")
			b.Run(keys, func(b *testing.B) {
				if err := Available(transport); err != nil {
					b.Skip(err)
				}
				s.Messages = b.N
				ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
				defer cancel()
				r, err := Run(ctx, s)
				if err != nil {
					b.Fatal(err)
				}
				report(b, r)
			})
		}
	}
}

// report reports what mpbench -benchfmt writes.
func report(b *testing.B, r Result) {
	per := "/op"
	switch r.Measure {
	case Idle:
		per = "/s"
	case Throughput:
		b.ReportMetric(r.BytesPerSec/1e6, "MB/s")
		b.ReportMetric(r.MsgsPerSec, "msgs/s")
	default:
		b.ReportMetric(float64(r.P50), "p50-ns")
		b.ReportMetric(float64(r.P99), "p99-ns")
	}
	if r.Measure != Idle {
		b.ReportMetric(1e9*r.Seconds/float64(r.Messages), "ns/op")
	}
	b.ReportMetric(r.CPU, "cpu-ns"+per)
	b.ReportMetric(r.Switches, "switches"+per)
}

// sizesOf returns sizes to measure: only the smallest and the largest if each run takes long, or with -short.
func sizesOf(transport, measure string) []int {
	if measure == Recovery {
		return []int{0}
	}
	sizes := SizesOf(transport)
	if testing.Short() || measure == Idle || findTransport(transport).python {
		return []int{sizes[0], sizes[len(sizes)-1]}
	}
	return sizes
}
