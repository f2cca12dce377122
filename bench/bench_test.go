package bench

import (
	"context"
	"flag"
	"strings"
	"testing"
	"time"
)

func BenchmarkThroughput(b *testing.B) { benchmarkScenarios(b, Throughput) }

func BenchmarkLatency(b *testing.B) { benchmarkScenarios(b, Latency) }

func BenchmarkPaced(b *testing.B) { benchmarkScenarios(b, Paced) }

func BenchmarkIdle(b *testing.B) { benchmarkScenarios(b, Idle) }

func BenchmarkRecovery(b *testing.B) { benchmarkScenarios(b, Recovery) }

// benchmarkScenarios runs the scenarios of a measure. Each runs once for the time of -benchtime, as a trial of mpbench does for
// its -duration. Package testing measures the start of the processes, too, so that it would choose too few
// messages if it chose the number. With -benchtime Nx it runs with N messages.
func benchmarkScenarios(b *testing.B, measure string) {
	duration, _ := time.ParseDuration(flag.Lookup("test.benchtime").Value.String()) // 0 for a number of messages
	for _, s := range benchmarked(measure) {
		_, keys, _ := strings.Cut(s.Name(), "/")
		b.Run(keys, func(b *testing.B) {
			if err := Available(s.Transport); err != nil {
				b.Skip(err)
			}
			if s.Duration = duration; duration == 0 {
				s.Messages = b.N
			}
			if measure == Idle && duration == 0 {
				s.Duration = 100 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(b.Context(), duration+time.Minute)
			defer cancel()
			r, err := Run(ctx, s)
			if err != nil {
				b.Fatal(err)
			}
			report(b, r)
		})
	}
}

// benchmarked returns the scenarios of a measure: each transport with each size, and with 64 bytes those of several
// processes, batches and contents.
func benchmarked(measure string) (list []Scenario) {
	add := func(s Scenario) {
		valid := s
		if valid.Messages = 1; measure == Idle {
			valid.Duration = 1
		}
		if valid.Validate() == nil { // it can be measured of this transport
			list = append(list, s)
		}
	}
	for _, transport := range Transports() {
		for _, size := range sizesOf(transport, measure) {
			s := Scenario{Transport: transport, Measure: measure, Size: size}
			if measure == Paced {
				s.Rate = 10_000
			}
			add(s)
			if size != 64 {
				continue
			}
			if measure == Paced {
				s.Rate = 1000
				add(s)
				s.Rate = 100_000
				add(s)
				continue
			}
			several, batch, content := s, s, s
			several.Producers, several.Consumers = 4, 4
			add(several)
			batch.Batch = 16
			add(batch)
			for _, content.Content = range Contents() {
				add(content)
			}
		}
	}
	return list
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
		if r.LoadsPerSec > 0 {
			b.ReportMetric(r.LoadsPerSec, "loads/s")
		}
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

// sizesOf returns sizes to measure: two of them if each run takes long, or with -short.
func sizesOf(transport, measure string) []int {
	sizes := SizesOf(transport)
	largest := sizes[len(sizes)-1]
	switch {
	case measure == Recovery:
		return []int{0}
	case testing.Short():
		return []int{sizes[0], largest}
	case measure == Idle || findTransport(transport).python:
		return []int{64, largest}
	}
	return sizes
}
