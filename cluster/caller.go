package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
	"github.com/seed-2e7ecdea/mp/internal/relay"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
)

// A caller is the engine of a pool whose workers are elsewhere. Each batch has an id, by which its
// reply finds it:
//
//  1. A sender stores the batch in the stream. If it does not hear that the batch was stored, it sends
//     it again, with the same id.
//  2. A machine runs the batch, stores the reply, and only then acknowledges the batch. If it dies
//     before, the server gives the batch to another machine.
//  3. The caller takes the first reply of an id. It drops the replies of ids that it does not know:
//     those that came twice, or are not wanted any more.
//
// If the server loses the stream, the caller makes it again, and stores again what has no reply.
type caller struct {
	*channel
	options PoolOptions
	id      string
	ctx     context.Context // done when the caller ends
	cancel  context.CancelFunc
	ended   chan struct{}
	tasks   sync.WaitGroup // goroutines
	notices []*nats.Subscription

	mu       sync.Mutex
	made     time.Time // when the stream was made
	last     uint64    // number of the last id
	open     map[string]*openBatch
	byBatch  map[*relay.Batch]*openBatch
	outbox   []*openBatch // not stored yet, oldest first
	senders  int          // goroutines that store
	busy     int          // batches whose answers are being delivered
	stopping map[string]*stopNotice
	hosts    map[string]seenHost
	heard    time.Time // when the last reply came
	rejoin   func()    // makes receive look whether the stream is there
	err      error     // why it takes no batch
	stats    proc.PoolStats
}

// An openBatch has no reply yet.
type openBatch struct {
	id      string
	b       *relay.Batch
	answers relay.Answers
	seq     uint64      // in the stream; 0: it is not stored yet
	large   atomic.Bool // its data are in an object
}

// A stopNotice is repeated for some time: machines may be cut off for a moment.
type stopNotice struct {
	gently bool
	until  time.Time
}

type seenHost struct {
	farHost
	at time.Time
}

const (
	maxSenders  = 32
	beat        = time.Second          // between two messages of a machine that says what it has
	hostLife    = 4 * beat             // after which a machine that is not heard of has no workers
	noticeLife  = time.Minute          // in which stops are repeated
	lookPause   = 5 * time.Second      // without a reply, after which the caller looks whether the stream is there
	cleanTime   = time.Second          // that the end may take
	farChunk    = 5 * time.Millisecond // that the calls of a batch take together
	maxFarChunk = 4096
)

func newCaller(ctx context.Context, c *Cluster, name string, o *PoolOptions) (*caller, error) {
	ch, err := newChannel(c, name)
	if err != nil {
		return nil, err
	}
	e := &caller{
		channel: ch, options: *o, id: nuid.Next(), ended: make(chan struct{}),
		open: make(map[string]*openBatch), byBatch: make(map[*relay.Batch]*openBatch),
		stopping: make(map[string]*stopNotice), hosts: make(map[string]seenHost), rejoin: func() {},
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	if err := c.insist(ctx, e.makeStream); err != nil {
		e.cancel()
		return nil, err
	}
	consumer, err := e.join(ctx)
	if err == nil {
		err = e.listen()
	}
	if err != nil {
		e.cancel()
		return nil, err
	}
	e.tasks.Go(func() { e.receive(consumer) })
	e.tasks.Go(e.watch)
	return e, nil
}

// settle sets the options that this caller leaves open: to those that the pool has, or the defaults.
func (e *caller) settle(ctx context.Context) error {
	o := &e.options
	if o.Lease <= 0 || o.Machines <= 0 {
		lease, machines := defaultLease, uint64(defaultMachines)
		consumer, set, err := e.settings(ctx)
		switch {
		case err == nil:
			lease, machines = consumer.CachedInfo().Config.AckWait, set
		case !errors.Is(err, jetstream.ErrStreamNotFound) && !errors.Is(err, jetstream.ErrConsumerNotFound):
			return err
		}
		if o.Lease <= 0 {
			o.Lease = lease
		}
		if o.Machines <= 0 {
			o.Machines = int(machines)
		}
	}
	o.Lease = max(o.Lease, time.Second)
	return nil
}

// makeStream makes the stream and the consumer of all calls, or gives them this caller's options.
func (e *caller) makeStream(ctx context.Context) error {
	if err := e.settle(ctx); err != nil {
		return err
	}
	stream, err := e.c.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: e.stream, Subjects: []string{e.subject + "calls.*", e.subject + "replies.*", e.subject + "tries.*.*"},
		Retention: jetstream.WorkQueuePolicy, Duplicates: defaultWindow, AllowMsgTTL: true,
		Storage: e.c.storage(), Replicas: e.c.options.Replicas,
		Metadata: map[string]string{metaMachines: strconv.Itoa(e.options.Machines)},
	})
	if err != nil {
		return err
	}
	_, err = stream.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: callers, FilterSubject: e.subject + "calls.*", AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: e.options.Lease, MaxAckPending: -1, MaxWaiting: 100_000,
	})
	return err
}

// join returns the consumer of this caller's replies. It makes the stream and the consumer if they are
// not there. If the stream is another one than before, what was stored in the old one is stored again.
func (e *caller) join(ctx context.Context) (consumer jetstream.Consumer, err error) {
	var made time.Time
	err = e.c.insist(ctx, func(ctx context.Context) error {
		stream, err := e.c.js.Stream(ctx, e.stream)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			if err = e.makeStream(ctx); err == nil {
				stream, err = e.c.js.Stream(ctx, e.stream)
			}
		}
		if err != nil {
			return err
		}
		made = stream.CachedInfo().Created
		consumer, err = stream.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
			Durable: e.id, FilterSubject: e.subject + "replies." + e.id, AckPolicy: jetstream.AckExplicitPolicy,
			AckWait: defaultLease, MaxAckPending: -1, InactiveThreshold: keptFor,
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.made.IsZero() && !e.made.Equal(made) {
		for _, o := range e.open {
			if o.seq != 0 {
				o.seq = 0
				e.store(o)
			}
		}
	}
	e.made = made
	return consumer, nil
}

// listen begins to note what machines there are.
func (e *caller) listen() error {
	s, err := e.c.conn.Subscribe(e.subject+"hosts", func(msg *nats.Msg) {
		var h farHost
		if hostCodec.Decode(msg.Data, &h) == nil && h.Workers >= 0 && h.Room >= 0 {
			e.mu.Lock()
			e.hosts[h.ID] = seenHost{h, time.Now()}
			e.mu.Unlock()
		}
	})
	if err != nil {
		return err
	}
	e.notices = append(e.notices, s)
	if s, err = e.c.ringAtElection(e.stream, e.id); err != nil {
		return err
	}
	e.notices = append(e.notices, s)
	return e.c.conn.Publish(e.subject+"ask", nil)
}

// Submit implements relay.Engine.
func (e *caller) Submit(b *relay.Batch, a relay.Answers) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err != nil {
		return e.err
	}
	e.last++
	o := &openBatch{id: e.id + "-" + strconv.FormatUint(e.last, 36), b: b, answers: a}
	e.open[o.id], e.byBatch[b] = o, o
	e.stats.Submitted += b.Calls
	e.store(o)
	return nil
}

// store has a sender store o. The caller holds mu.
func (e *caller) store(o *openBatch) {
	e.outbox = append(e.outbox, o)
	if e.senders < maxSenders {
		e.senders++
		e.tasks.Go(e.send)
	}
}

// send stores batches until there are none to be stored.
func (e *caller) send() {
	for {
		o, made := e.nextToSend()
		if o == nil {
			return
		}
		data := encode(callCodec, &farCall{
			ID: o.id, Caller: e.id, Task: o.b.Task, Print: o.b.Print, Calls: o.b.Calls, Data: o.b.Data,
			Timeout: o.b.Timeout, Retries: o.b.Retries,
		})
		o.large.Store(e.isLarge(data))
		ack, err := e.publish(e.ctx, nats.NewMsg(e.subject+"calls."+e.id), o.id, o.id, data)
		if err != nil {
			if e.take(o.id) != nil {
				o.fail(err)
				e.discard(o)
				e.release()
			}
			continue
		}
		e.mu.Lock()
		wanted := e.open[o.id] == o
		if o.seq = ack.Sequence; wanted && !e.made.Equal(made) { // it may be in the stream that was lost
			o.seq = 0
			e.store(o)
		}
		e.mu.Unlock()
		if !wanted { // stopped meanwhile
			e.withdraw(ack.Sequence)
			e.discard(o)
		}
	}
}

// nextToSend returns the oldest batch that is to be stored, and when the stream was made. It returns
// nil if there is none: then its sender must end.
func (e *caller) nextToSend() (*openBatch, time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for len(e.outbox) > 0 {
		o := e.outbox[0]
		e.outbox[0] = nil
		e.outbox = e.outbox[1:]
		if e.open[o.id] == o {
			return o, e.made
		}
	}
	e.senders--
	return nil, e.made
}

// take removes a batch that has an answer now. It returns nil if there is none of that id: its answer
// came before, or is not wanted. Whoever takes a batch calls release when its answers are delivered.
func (e *caller) take(id string) *openBatch {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.takeLocked(id)
}

func (e *caller) takeLocked(id string) *openBatch {
	o := e.open[id]
	if o != nil {
		delete(e.open, id)
		delete(e.byBatch, o.b)
		e.busy++
	}
	return o
}

// release ends the caller if it is draining and this was the last batch.
func (e *caller) release() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.busy--
	e.endIfEmpty()
}

// endIfEmpty ends the caller if it takes no batches and has none. The caller holds mu.
func (e *caller) endIfEmpty() {
	if e.err != nil && len(e.open) == 0 && e.busy == 0 && e.ctx.Err() == nil {
		e.cancel()
		go e.end()
	}
}

// end waits for the goroutines, and leaves nothing of this caller at the server, if that answers in time.
func (e *caller) end() {
	e.tasks.Wait()
	for _, s := range e.notices {
		_ = s.Unsubscribe() // fails if the connection is closed
	}
	ctx, cancel := context.WithTimeout(context.Background(), cleanTime)
	defer cancel()
	if stream, err := e.c.js.Stream(ctx, e.stream); err == nil {
		_ = stream.Purge(ctx, jetstream.WithPurgeSubject(e.subject+"calls."+e.id))
		_ = stream.Purge(ctx, jetstream.WithPurgeSubject(e.subject+"replies."+e.id))
		_ = stream.DeleteConsumer(ctx, e.id) // it vanishes by itself, too
	}
	e.mu.Lock()
	notices := e.pendingStops()
	e.mu.Unlock()
	e.announce(notices)
	_ = e.c.conn.FlushWithContext(ctx)
	close(e.ended)
}

// fail fails all calls of o.
func (o *openBatch) fail(err error) {
	for i := range o.b.Calls {
		o.answers.Fail(i, err)
	}
}

// receive takes replies until the caller ends. Whenever rejoin says so, it looks whether the stream and
// the consumer are still there.
func (e *caller) receive(consumer jetstream.Consumer) {
	for {
		e.receiveFrom(consumer)
		again, err := e.join(e.ctx)
		if err == nil {
			consumer = again
		}
		if e.ctx.Err() != nil || err != nil && e.c.pause(e.ctx, lastPause) != nil {
			return
		}
	}
}

// receiveFrom takes replies until the caller ends or rejoin calls for a look.
func (e *caller) receiveFrom(consumer jetstream.Consumer) {
	replies, err := consumer.Messages(jetstream.PullMaxMessages(512))
	if err != nil {
		_ = e.c.pause(e.ctx, lastPause) // receive sees why it ends
		return
	}
	defer replies.Stop()
	defer context.AfterFunc(e.ctx, replies.Stop)()
	e.mu.Lock()
	e.rejoin = replies.Stop
	e.mu.Unlock()
	for {
		msg, err := replies.Next()
		if err != nil {
			return // nothing is lost: replies stay until they are acknowledged
		}
		e.reply(msg)
	}
}

// reply delivers a reply. If its data are elsewhere, it does so in the background.
func (e *caller) reply(msg jetstream.Msg) {
	if data := msg.Data(); len(data) > 0 && data[0] == inObject {
		e.tasks.Go(func() {
			if !e.enter(e.ctx) {
				return
			}
			defer e.leave()
			data, object, err := e.read(e.ctx, data)
			if e.ctx.Err() != nil {
				return // the reply comes again, if this process is still there
			}
			if e.deliver(msg, data, err); object != "" {
				e.drop(object)
			}
		})
		return
	}
	data, _, err := e.read(e.ctx, msg.Data())
	e.deliver(msg, data, err)
}

// deliver delivers the answers in data. If err is not nil, they can't be read: all calls fail.
func (e *caller) deliver(msg jetstream.Msg, data []byte, err error) {
	defer msg.Ack() // if the server does not hear of it, the reply comes again and is dropped
	id := msg.Headers().Get(headerID)
	var r farReply
	if err == nil {
		err = replyCodec.Decode(data, &r)
	}
	e.mu.Lock()
	e.heard = time.Now()
	delete(e.stopping, id)
	o := e.takeLocked(id)
	if o != nil {
		e.stats.Done += o.b.Calls
	}
	e.mu.Unlock()
	if o == nil {
		return
	}
	defer e.release()
	e.discard(o)
	if err == nil && !r.Answers.fit(o.b.Calls) {
		err = errMessage
	}
	if err != nil {
		o.fail(fmt.Errorf("its answer: %w", err))
		return
	}
	o.answers.Took(r.Each)
	call := 0
	for _, run := range r.Answers.Runs {
		name := workerAt(run.Worker, r.Host)
		for range run.Calls {
			answer, _ := r.Answers.cut()
			o.answers.Deliver(call, name, answer)
			call++
		}
	}
}

// discard drops the object of a batch that has an answer or is not wanted, if it has one.
func (e *caller) discard(o *openBatch) {
	if o.large.Load() {
		e.tasks.Go(func() { e.drop(o.id) })
	}
}

// workerAt returns how errors name a worker of another machine.
func workerAt(worker, host string) string {
	if worker == "" {
		return host
	}
	return worker + " on " + host
}

// Stop implements relay.Engine.
func (e *caller) Stop(b *relay.Batch, err error, gently bool) {
	e.mu.Lock()
	o := e.byBatch[b]
	if o == nil {
		e.mu.Unlock()
		return
	}
	e.takeLocked(o.id)
	notice := e.toStop(o, gently)
	if seq := o.seq; seq != 0 {
		e.tasks.Go(func() { e.withdraw(seq) })
	}
	e.mu.Unlock()
	e.announce([]farStop{notice})
	o.fail(err)
	e.discard(o)
	e.release()
}

// toStop notes that machines are to hear that o is not wanted. The caller holds mu.
func (e *caller) toStop(o *openBatch, gently bool) farStop {
	e.stopping[o.id] = &stopNotice{gently, time.Now().Add(noticeLife)}
	e.stats.Failed += o.b.Calls
	return farStop{o.id, gently}
}

// withdraw takes a batch out of the stream. If it fails, the batch is run, and its reply dropped.
func (e *caller) withdraw(seq uint64) {
	_ = e.c.bounded(e.ctx, requestTime, func(ctx context.Context) error {
		stream, err := e.c.js.Stream(ctx, e.stream)
		if err == nil {
			err = stream.DeleteMsg(ctx, seq)
		}
		return err
	})
}

// pendingStops returns the stops that machines may not have heard of. The caller holds mu.
func (e *caller) pendingStops() (list []farStop) {
	now := time.Now()
	for id, s := range e.stopping {
		if now.After(s.until) {
			delete(e.stopping, id)
			continue
		}
		list = append(list, farStop{id, s.gently})
	}
	return list
}

// announce tells the machines what is not wanted any more.
func (e *caller) announce(stops []farStop) {
	for part := range slices.Chunk(stops, 1000) {
		_ = e.c.conn.Publish(e.subject+"stop", encode(stopCodec, &part)) // it is repeated
	}
}

// watch repeats stops, and has receive look whether the stream is still there, until the caller ends.
func (e *caller) watch() {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for looked := time.Now(); ; {
		bell := e.c.bell()
		if e.c.conn.IsClosed() {
			e.Fail(ring.ErrClosed)
			return
		}
		rung := false
		select {
		case <-e.ctx.Done():
			return
		case <-bell:
			rung = !e.c.conn.IsClosed()
		case <-tick.C:
		}
		e.mu.Lock()
		stops := e.pendingStops()
		silent := len(e.open) > 0 && time.Since(e.heard) > lookPause && time.Since(looked) > lookPause
		rejoin := e.rejoin
		e.mu.Unlock()
		e.announce(stops)
		if rung || silent {
			looked = time.Now()
			rejoin()
		}
	}
}

// Room implements relay.Engine. More batches than the machines have room for are on the way.
func (e *caller) Room() int {
	room := 0
	e.eachHost(func(h farHost) { room += h.Room })
	return room + room/2 + 4
}

// Workers implements relay.Engine.
func (e *caller) Workers() int {
	workers := 0
	e.eachHost(func(h farHost) { workers += h.Workers })
	return workers
}

// eachHost calls f for all machines that were heard of lately.
func (e *caller) eachHost(f func(h farHost)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	for id, h := range e.hosts {
		if now.Sub(h.at) > hostLife {
			delete(e.hosts, id)
			continue
		}
		f(h.farHost)
	}
}

// Chunk implements relay.Engine.
func (e *caller) Chunk(each time.Duration) int {
	return min(int(farChunk/max(each, 1)), maxFarChunk)
}

// Drain implements relay.Engine.
func (e *caller) Drain() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err == nil {
		e.err = proc.ErrPoolClosed
	}
	e.endIfEmpty()
}

// Fail implements relay.Engine.
func (e *caller) Fail(err error) {
	e.mu.Lock()
	if e.err == nil {
		e.err = err
	}
	var failed []*openBatch
	for id, o := range e.open {
		e.toStop(o, false)
		failed = append(failed, e.takeLocked(id))
	}
	e.outbox = nil
	e.endIfEmpty()
	e.mu.Unlock()
	for _, o := range failed {
		o.fail(err)
		e.discard(o)
		e.release()
	}
}

// Gone implements relay.Engine.
func (e *caller) Gone() <-chan struct{} { return e.ended }

// Stats implements relay.Engine.
func (e *caller) Stats() any {
	workers := e.Workers()
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.stats
	s.Workers, s.Lost = workers, make(map[string]int)
	for _, o := range e.open {
		if o.seq == 0 {
			s.Waiting += o.b.Calls
		} else {
			s.Running += o.b.Calls
		}
	}
	return s
}
