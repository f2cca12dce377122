//go:build linux

package ring_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/ring"
)

// The benchmarks in this file run between goroutines of one process. Those between processes are in
// package bench.

func BenchmarkPipe(b *testing.B) {
	for _, size := range []int{0, 64, 1024, 16384} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			seg := Anonymous(b, 1<<20)
			from, to := newPipe(b, seg, 1<<18)
			ctx := context.Background()
			done := Async(func() error {
				buf := make([]byte, size)
				for {
					if _, err := to.ReceiveInto(ctx, buf); err != nil {
						return err
					}
				}
			})
			msg := make([]byte, size)
			b.SetBytes(int64(size))
			for b.Loop() {
				if err := from.Send(ctx, msg); err != nil {
					b.Fatal(err)
				}
			}
			from.Close()
			<-done
		})
	}
}

func BenchmarkQueue(b *testing.B) {
	b.Run("size=8", benchmarkQueue[[8]byte])
	b.Run("size=64", benchmarkQueue[[64]byte])
	b.Run("size=1024", benchmarkQueue[[1024]byte])
}

func benchmarkQueue[T any](b *testing.B) {
	seg := Anonymous(b, room)
	q := newQueue[T](b, seg, 1024)
	ctx := context.Background()
	done := Async(func() error {
		for {
			if _, err := q.Get(ctx); err != nil {
				return err
			}
		}
	})
	var v T
	b.SetBytes(int64(reflect.TypeFor[T]().Size()))
	for b.Loop() {
		if err := q.Put(ctx, v); err != nil {
			b.Fatal(err)
		}
	}
	q.Shutdown()
	if err := <-done; !errors.Is(err, ring.ErrShutdown) {
		b.Fatal(err)
	}
}

// BenchmarkQueuePair measures a TryPut and a TryGet without contention.
func BenchmarkQueuePair(b *testing.B) {
	seg := Anonymous(b, 1<<20)
	q := newQueue[[64]byte](b, seg, 64)
	b.SetBytes(64)
	for b.Loop() {
		if err := q.TryPut([64]byte{}); err != nil {
			b.Fatal(err)
		}
		if _, err := q.TryGet(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkQueueMany moves batches of 64 values.
func BenchmarkQueueMany(b *testing.B) {
	b.Run("size=8", benchmarkQueueMany[[8]byte])
	b.Run("size=64", benchmarkQueueMany[[64]byte])
	b.Run("size=1024", benchmarkQueueMany[[1024]byte])
}

func benchmarkQueueMany[T any](b *testing.B) {
	const batch = 64
	seg := Anonymous(b, room)
	q := newQueue[T](b, seg, 1024)
	ctx := context.Background()
	done := Async(func() error {
		vs := make([]T, batch)
		for {
			if _, err := q.GetMany(ctx, vs); err != nil {
				return err
			}
		}
	})
	vs := make([]T, batch)
	b.SetBytes(batch * int64(reflect.TypeFor[T]().Size()))
	for b.Loop() {
		if _, err := q.PutMany(ctx, vs); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*batch/b.Elapsed().Seconds()/1e6, "M/s")
	q.Shutdown()
	if err := <-done; !errors.Is(err, ring.ErrShutdown) {
		b.Fatal(err)
	}
}

// BenchmarkQueueManyPair measures a TryPutMany and a TryGetMany of 64 values without contention.
func BenchmarkQueueManyPair(b *testing.B) {
	b.Run("size=8", benchmarkQueueManyPair[[8]byte])
	b.Run("size=64", benchmarkQueueManyPair[[64]byte])
}

func benchmarkQueueManyPair[T any](b *testing.B) {
	seg := Anonymous(b, 1<<20)
	q := newQueue[T](b, seg, 128)
	vs := make([]T, 64)
	for b.Loop() {
		if _, err := q.TryPutMany(vs); err != nil {
			b.Fatal(err)
		}
		if _, err := q.TryGetMany(vs); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*64/b.Elapsed().Seconds()/1e6, "M/s")
}

// BenchmarkBroadcast measures publishing to subscribers that keep up.
func BenchmarkBroadcast(b *testing.B) {
	for _, subscribers := range []int{0, 1, 4} {
		b.Run(fmt.Sprintf("subscribers=%d/size=64", subscribers), func(b *testing.B) {
			seg := Anonymous(b, room)
			c := newBroadcast[[64]byte](b, seg, 1024, nil)
			ctx := context.Background()
			var done []<-chan error
			for range subscribers {
				s := subscribe(b, c, nil)
				done = append(done, Async(func() error {
					for {
						if _, err := s.Receive(ctx); err != nil {
							return err
						}
					}
				}))
			}
			var v [64]byte
			b.SetBytes(64)
			for b.Loop() {
				if err := c.Publish(ctx, v); err != nil {
					b.Fatal(err)
				}
			}
			c.Shutdown()
			for _, d := range done {
				if err := <-d; !errors.Is(err, ring.ErrShutdown) {
					b.Fatal(err)
				}
			}
		})
	}
}

// A labelled is a small value that is encoded.
type labelled struct {
	ID   int
	Name string
	Tags []string
}

var (
	text64    = strings.Repeat("x", 64)
	someTags  = labelled{7, strings.Repeat("n", 20), []string{"red", "green", "blue"}}
	textBatch = slices.Repeat([]string{text64}, 64)
)

// BenchmarkEncodedPair measures a TryPut and a TryGet of an encoded value without contention.
func BenchmarkEncodedPair(b *testing.B) {
	b.Run("string=64", func(b *testing.B) { benchmarkEncodedPair(b, text64) })
	b.Run("struct", func(b *testing.B) { benchmarkEncodedPair(b, someTags) })
}

func benchmarkEncodedPair[T any](b *testing.B, v T) {
	seg := Anonymous(b, 1<<20)
	q := newQueue[T](b, seg, 64)
	b.ReportAllocs()
	for b.Loop() {
		if err := q.TryPut(v); err != nil {
			b.Fatal(err)
		}
		if _, err := q.TryGet(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEncodedManyPair measures a TryPutMany and a TryGetMany of 64 strings without contention.
func BenchmarkEncodedManyPair(b *testing.B) {
	seg := Anonymous(b, 1<<20)
	q := newQueue[string](b, seg, 128)
	vs := slices.Clone(textBatch)
	for b.Loop() {
		if _, err := q.TryPutMany(textBatch); err != nil {
			b.Fatal(err)
		}
		if _, err := q.TryGetMany(vs); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*64/b.Elapsed().Seconds()/1e6, "M/s")
}

// BenchmarkEncoded measures queues whose values are encoded, to be compared with BenchmarkQueue.
func BenchmarkEncoded(b *testing.B) {
	b.Run("string=64", func(b *testing.B) { benchmarkEncoded(b, text64) })
	b.Run("string=1024", func(b *testing.B) { benchmarkEncoded(b, strings.Repeat("x", 1024)) })
	b.Run("bytes=1Mi", func(b *testing.B) { benchmarkEncoded(b, make([]byte, 1<<20)) })
	b.Run("struct", func(b *testing.B) { benchmarkEncoded(b, someTags) })
}

func benchmarkEncoded[T any](b *testing.B, v T) {
	seg := Anonymous(b, 256<<20)
	q := newQueue[T](b, seg, 1024)
	ctx := context.Background()
	done := Async(func() error {
		for {
			if _, err := q.Get(ctx); err != nil {
				return err
			}
		}
	})
	for b.Loop() {
		if err := q.Put(ctx, v); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "M/s")
	q.Shutdown()
	if err := <-done; !errors.Is(err, ring.ErrShutdown) {
		b.Fatal(err)
	}
}
