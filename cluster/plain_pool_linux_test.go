package cluster_test

import (
	"context"
	"encoding/binary"
	"strconv"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/seed-2e7ecdea/mp/cluster"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
)

// A plainPool does by nats.go alone what a Pool does for hashes: batches are messages of a work-queue stream with ids. A
// process takes them, stores each reply with an id, and then acknowledges the batch. The caller takes the replies,
// and acknowledges them. Requests are on the way as in a Pool: many are outstanding at once.
type plainPool struct {
	js      jetstream.JetStream
	replies jetstream.MessagesContext
	last    int // number of the last batch
}

const (
	plainStream = "plain_pool"
	plainWindow = 16 // batches that are on the way: a Pool has 4, and one and a half as many as the machine has room for
)

func newPlainPool(b *testing.B, c *cluster.Cluster) *plainPool {
	b.Helper()
	ctx := Within(b)
	conn := Must(nats.Connect(c.URL()))(b)
	b.Cleanup(conn.Close)
	p := &plainPool{js: Must(jetstream.New(conn))(b)}
	stream := Must(p.js.CreateStream(ctx, jetstream.StreamConfig{
		Name: plainStream, Subjects: []string{"plain.calls", "plain.replies"}, Retention: jetstream.WorkQueuePolicy,
		AllowMsgTTL: true, Storage: jetstream.MemoryStorage,
	}))(b)
	consumer := func(name string) jetstream.Consumer {
		return Must(stream.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
			Durable: name, FilterSubject: "plain." + name, AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: -1,
		}))(b)
	}
	consumer("calls")
	p.replies = Must(consumer("replies").Messages(jetstream.PullMaxMessages(512)))(b)
	b.Cleanup(p.replies.Stop)
	worker := Must(plainWorker.Start(context.Background(), c.URL(), nil))(b)
	b.Cleanup(func() {
		WantNil(b, "Stop", worker.Stop(Within(b)))
		worker.Close()
	})
	return p
}

// plainWorker takes batches until its context ends.
var plainWorker = proc.Register("plain worker", func(ctx context.Context, url string) (proc.None, error) {
	return proc.None{}, servePlain(ctx, url)
})

func servePlain(ctx context.Context, url string) error {
	conn, err := nats.Connect(url)
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	consumer, err := js.Consumer(ctx, plainStream, "calls")
	if err != nil {
		return err
	}
	batches, err := consumer.Messages(jetstream.PullMaxMessages(plainWindow))
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, batches.Stop)()
	var tasks sync.WaitGroup
	defer tasks.Wait()
	for {
		msg, err := batches.Next()
		if err != nil {
			return nil // it is to end
		}
		reply := nats.NewMsg("plain.replies")
		for rest := msg.Data(); len(rest) > 0; rest = rest[8:] {
			y, err := hash(ctx, int(binary.LittleEndian.Uint64(rest)))
			if err != nil {
				return err
			}
			reply.Data = binary.LittleEndian.AppendUint64(reply.Data, uint64(y))
		}
		id := msg.Headers().Get(nats.MsgIdHdr)
		tasks.Go(func() {
			if _, err := js.PublishMsg(ctx, reply, jetstream.WithMsgID(id+"-reply")); err == nil {
				_ = msg.Ack() // the benchmark does not end if a reply is missing
			}
		})
	}
}

// run makes that many calls, in batches, and returns when all have their results.
func (p *plainPool) run(b *testing.B, calls, chunk, rounds int) {
	window := make(chan struct{}, plainWindow)
	var tasks sync.WaitGroup
	defer tasks.Wait()
	batches := (calls + chunk - 1) / chunk
	tasks.Go(func() {
		for range batches {
			window <- struct{}{}
			p.last++
			id := strconv.Itoa(p.last)
			var data []byte
			for range chunk {
				data = binary.LittleEndian.AppendUint64(data, uint64(rounds))
			}
			tasks.Go(func() {
				if _, err := p.js.Publish(b.Context(), "plain.calls", data, jetstream.WithMsgID(id)); err != nil {
					b.Errorf("Publish: %v", err)
				}
			})
		}
	})
	for range batches {
		msg, err := p.replies.Next()
		WantNil(b, "Next", err)
		_ = msg.Ack()
		<-window
	}
}
