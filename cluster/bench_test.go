package cluster_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/seed-2e7ecdea/mp/cluster"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
)

// A plain is a work-queue stream that is used by nats.go alone, with the acknowledgements of a Queue.
type plain struct {
	js       jetstream.JetStream
	consumer jetstream.Consumer
}

func newPlain(b testing.TB, c *cluster.Cluster) *plain {
	b.Helper()
	ctx := Within(b)
	conn, err := nats.Connect(c.URL())
	WantNil(b, "Connect", err)
	b.Cleanup(conn.Close)
	js := Must(jetstream.New(conn))(b)
	stream := Must(js.CreateStream(ctx, jetstream.StreamConfig{
		Name: "plain", Subjects: []string{"plain"}, Retention: jetstream.WorkQueuePolicy, Discard: jetstream.DiscardNew,
		MaxMsgs: 1000, Storage: jetstream.MemoryStorage,
	}))(b)
	consumer := Must(stream.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{Durable: "c", AckPolicy: jetstream.AckExplicitPolicy}))(b)
	return &plain{js, consumer}
}

func (p *plain) put(ctx context.Context, id string, v []byte) error {
	_, err := p.js.Publish(ctx, "plain", v, jetstream.WithMsgID(id))
	return err
}

func (p *plain) get(ctx context.Context) error {
	batch, err := p.consumer.Fetch(1, jetstream.FetchMaxWait(5*time.Second))
	if err != nil {
		return err
	}
	for msg := range batch.Messages() {
		return msg.DoubleAck(ctx)
	}
	return batch.Error()
}

// BenchmarkQueue measures a Put and a Get of 64 bytes, one after the other, and the same by nats.go
// alone with the same acknowledgements, in rounds that alternate. Both connect over TCP. The metric
// "of-plain" is the speed of the Queue as a fraction of that of nats.go: the median of the rounds.
func BenchmarkQueue(b *testing.B) {
	const each = 50
	ctx := context.Background()
	server := open(b, nil)
	p := newPlain(b, server)
	newQueue[[]byte](b, server, 1000, nil)
	client := open(b, &cluster.Options{URL: server.URL()})
	q := Closing(b, Must(cluster.OpenQueue[[]byte](ctx, client, "q", nil))(b))
	value := make([]byte, 64)
	var ids int
	round := func(put, get func() error) time.Duration {
		begin := time.Now()
		for range each {
			WantNil(b, "put", put())
			WantNil(b, "get", get())
		}
		return time.Since(begin)
	}
	var ratios []float64
	var ours, theirs time.Duration
	for b.Loop() {
		mine := round(func() error { return q.Put(ctx, value) }, func() error { return Second(q.Get(ctx)) })
		plain := round(func() error {
			ids++
			return p.put(ctx, time.Unix(0, int64(ids)).String(), value)
		}, func() error { return p.get(ctx) })
		ours, theirs = ours+mine, theirs+plain
		ratios = append(ratios, float64(plain)/float64(mine))
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "of-plain")
	b.ReportMetric(float64(ours.Microseconds())/float64(b.N*each), "µs/value")
	b.ReportMetric(float64(theirs.Microseconds())/float64(b.N*each), "plain-µs/value")
	b.ReportMetric(0, "ns/op")
}
