package cluster_test

import (
	"testing"

	"github.com/seed-2e7ecdea/mp/cluster"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
)

// open opens a cluster that is closed after the test.
func open(t testing.TB, o *cluster.Options) *cluster.Cluster {
	t.Helper()
	return Closing(t, Must(cluster.Open(Within(t), o))(t))
}

// newQueue makes a queue that is closed after the test.
func newQueue[T any](t testing.TB, c *cluster.Cluster, capacity int, o *cluster.QueueOptions[T]) *cluster.Queue[T] {
	t.Helper()
	return Closing(t, Must(cluster.NewQueue(Within(t), c, "q", capacity, o))(t))
}
