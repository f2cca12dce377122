package bench

import (
	"context"
	"fmt"
	"testing"
	"time"
)

func BenchmarkThroughput(b *testing.B) {
	benchmarkScenarios(b, Throughput, func(b *testing.B, r Result) {
		b.ReportMetric(1e9*r.Seconds/float64(r.Messages), "ns/op")
		b.ReportMetric(r.BytesPerSec/1e6, "MB/s")
		b.ReportMetric(r.MsgsPerSec, "msgs/s")
	})
}

func BenchmarkLatency(b *testing.B) {
	benchmarkScenarios(b, Latency, func(b *testing.B, r Result) {
		b.ReportMetric(1e9*r.Seconds/float64(r.Messages), "ns/op")
		b.ReportMetric(float64(r.P50), "p50-ns")
		b.ReportMetric(float64(r.P99), "p99-ns")
	})
}

// benchmarkScenarios runs every scenario of a measure with b.N messages. The metrics leave out the time in which
// the processes start.
func benchmarkScenarios(b *testing.B, measure string, metrics func(*testing.B, Result)) {
	for _, transport := range Transports() {
		for _, size := range Sizes() {
			b.Run(fmt.Sprintf("transport=%s/size=%d", transport, size), func(b *testing.B) {
				ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
				defer cancel()
				r, err := Run(ctx, Scenario{Transport: transport, Measure: measure, Size: size, Messages: b.N})
				if err != nil {
					b.Fatal(err)
				}
				metrics(b, r)
			})
		}
	}
}
