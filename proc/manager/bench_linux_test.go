package manager_test

import (
	"testing"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc/manager"
)

// BenchmarkDict measures trips to the manager's process, and batches of 1,000 pairs.
func BenchmarkDict(b *testing.B) {
	m := newManager(b, nil)
	d := newDict[string, int](b, m)
	ctx := b.Context()
	b.Run("set", func(b *testing.B) {
		for b.Loop() {
			WantNil(b, "Set", d.Set(ctx, "key", 12345))
		}
	})
	b.Run("get", func(b *testing.B) {
		for b.Loop() {
			WantNil(b, "Get", Second(d.Get(ctx, "key")))
		}
	})
	b.Run("callers=8", func(b *testing.B) {
		b.SetParallelism(8)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				WantNil(b, "Set", d.Set(ctx, "key", 12345))
			}
		})
	})
	numbers := newDict[int, int](b, m)
	var items []manager.Item[int, int]
	for i := range 1000 {
		items = append(items, manager.Item[int, int]{Key: i, Value: i})
	}
	b.Run("batch=1000", func(b *testing.B) {
		for b.Loop() {
			WantNil(b, "SetMany", numbers.SetMany(ctx, items...))
		}
		b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "pairs/s")
	})
}
