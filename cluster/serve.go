package cluster

import (
	"context"
	"errors"
	"os"
	"slices"
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

// ServeOptions are options for Serve. A nil *ServeOptions means the defaults.
type ServeOptions struct {
	// Workers is the number of worker processes. The default 0 means one for each CPU that this process
	// may use.
	Workers int

	// Pool are the options of the workers, as of a pool of this machine: their start method and limit
	// of memory, Init, MaxTasks, Grace. Timeout and Retries come with the calls.
	Pool *proc.PoolOptions

	// Drain is how long Serve goes on with the calls that it has when its context is done. The default
	// is 10 s, and a negative Drain means not at all. What has no result then runs on another machine.
	Drain time.Duration

	// Name is how errors name this machine. The default is the host's name.
	Name string
}

const defaultDrain = 10 * time.Second

// Serve runs calls of the pool of that name on worker processes of this machine. It returns when ctx
// is done: then it takes no more calls, and gives those that are not finished in time to other
// machines (see ServeOptions.Drain). It returns nil then, and otherwise ErrName, ErrClosed, the error of
// proc.NewPool, or proc.ErrInit if the workers can't be initialized.
//
// The pool need not exist yet: Serve waits for it. All tasks of package proc that this program has
// registered can be called. A call of a task that it does not have fails with proc.ErrUnknownTask, and
// one of a task whose types are others there fails with ErrVersion.
//
// A worker that crashes loses its call only, as in a pool of this machine. If this process dies, or is
// cut off from the server for longer than PoolOptions.Lease, its calls run on another machine.
func Serve(ctx context.Context, c *Cluster, pool string, o *ServeOptions) error {
	if o == nil {
		o = &ServeOptions{}
	}
	if err := serve(ctx, c, pool, o); err != nil {
		return failed("Serve", "pool", pool, err)
	}
	return nil
}

func serve(ctx context.Context, c *Cluster, pool string, o *ServeOptions) (err error) {
	ch, err := newChannel(c, pool)
	if err != nil {
		return err
	}
	h := &host{channel: ch, id: nuid.Next(), name: o.Name, running: make(map[string]*farWork)}
	h.changed.L = &h.mu
	if h.name == "" {
		if h.name, err = os.Hostname(); err != nil {
			h.name = h.id
		}
	}
	if h.pool, err = proc.NewPool(o.Workers, o.Pool); err != nil {
		return err
	}
	h.ctx, h.cancel = context.WithCancelCause(ctx)
	defer h.cancel(nil)
	h.keeper = newKeeper(defaultLease)
	h.last, h.giveUp = context.WithCancel(context.Background())
	if err = h.find(h.ctx); err == nil {
		err = h.run()
	}
	if ctx.Err() != nil {
		err = nil
	} else if cause := context.Cause(h.ctx); cause != nil {
		err = cause
	}
	h.end(o.Drain)
	return err
}

// A host runs calls on the workers of this machine.
type host struct {
	*channel
	id, name string
	pool     *proc.Pool
	consumer jetstream.Consumer
	machines atomic.Uint64 // PoolOptions.Machines
	keeper   *keeper
	notices  []*nats.Subscription
	ctx      context.Context // of Serve; also done, with the reason, if the workers are of no use
	cancel   context.CancelCauseFunc
	last     context.Context // of the storing of replies
	giveUp   context.CancelFunc
	tasks    sync.WaitGroup // goroutines that read large calls and store replies

	mu      sync.Mutex
	changed sync.Cond // running has become shorter, or ctx is done
	running map[string]*farWork
	over    bool // what has no reply yet is for other machines
}

// find waits until there is the pool's stream.
func (h *host) find(ctx context.Context) error {
	for {
		err := h.c.insist(ctx, func(ctx context.Context) (err error) {
			h.consumer, err = h.refresh(ctx)
			return err
		})
		if !errors.Is(err, jetstream.ErrStreamNotFound) && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return err
		}
		if err := h.c.pause(ctx, lastPause); err != nil {
			return err
		}
	}
}

// refresh takes over what the last NewPool has set. It returns the consumer of all calls.
func (h *host) refresh(ctx context.Context) (jetstream.Consumer, error) {
	consumer, machines, err := h.settings(ctx)
	if err == nil {
		h.machines.Store(machines)
		h.keeper.last(consumer.CachedInfo().Config.AckWait)
	}
	return consumer, err
}

// asked says what this machine has, since a NewPool has asked. That may have changed the options.
func (h *host) asked() {
	_ = h.c.bounded(h.ctx, requestTime, func(ctx context.Context) error { // if it fails, the connection is lost, and fetch does it again
		_, err := h.refresh(ctx)
		return err
	})
	h.tell(h.pool.Workers())
}

// run takes calls until h.ctx is done, or the connection is closed.
func (h *host) run() error {
	for subject, f := range map[string]nats.MsgHandler{
		"stop": func(msg *nats.Msg) { h.stop(msg.Data) }, "ask": func(*nats.Msg) { h.asked() },
	} {
		s, err := h.c.conn.Subscribe(h.subject+subject, f)
		if err != nil {
			return err
		}
		h.notices = append(h.notices, s)
	}
	s, err := h.c.ringAtElection(h.stream, callers)
	if err != nil {
		return err
	}
	h.notices = append(h.notices, s)
	defer context.AfterFunc(h.ctx, h.broadcast)()
	ctx, end := context.WithCancel(h.ctx)
	var background sync.WaitGroup
	background.Go(func() { h.beat(ctx) })
	background.Go(func() { h.watchWithdrawn(ctx) })
	defer func() {
		end()
		background.Wait()
	}()
	for {
		n := h.await()
		if h.ctx.Err() != nil {
			return h.ctx.Err()
		}
		if err := h.fetch(n); err != nil {
			return err
		}
	}
}

// beat says each second what this machine has, until ctx is done.
func (h *host) beat(ctx context.Context) {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for ctx.Err() == nil {
		h.tell(h.pool.Workers())
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	h.tell(0)
}

// tell says what this machine has.
func (h *host) tell(workers int) {
	_ = h.c.conn.Publish(h.subject+"hosts", encode(hostCodec, &farHost{h.id, workers, relay.Proc.Room(h.pool)}))
}

// await waits until the workers can use more batches, several if they can use many. It returns how many.
func (h *host) await() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		room := relay.Proc.Room(h.pool)
		if n := room - len(h.running); n > room/4 || h.ctx.Err() != nil {
			return n
		}
		h.changed.Wait()
	}
}

// fetch takes up to n batches and has them run. It returns an error if that is of no use any more.
func (h *host) fetch(n int) error {
	bell := h.c.bell()
	if h.c.conn.IsClosed() {
		return ring.ErrClosed
	}
	batch, err := h.consumer.Fetch(n, jetstream.FetchMaxWait(pullTime))
	if err != nil {
		return h.recover()
	}
	over, err := h.take(batch, bell)
	if err != nil {
		return err
	}
	if !over { // the request was lost with a connection or a leader, or a server has it still and answers
		h.tasks.Go(func() { _, _ = h.take(batch, nil) })
		return h.recover()
	}
	if batch.Error() != nil {
		return h.recover()
	}
	return nil
}

// take has the batches of a request run, until it is over or the bell rings. It reports whether it is over. It
// fails if h.ctx is done.
func (h *host) take(batch jetstream.MessageBatch, bell <-chan struct{}) (over bool, err error) {
	for {
		select {
		case msg, ok := <-batch.Messages():
			if !ok {
				return true, nil
			}
			h.begin(msg)
		case <-h.ctx.Done():
			go giveBack(batch)
			return false, h.ctx.Err()
		case <-bell:
			return false, nil
		}
	}
}

// recover waits until calls can be taken again: the server may be away, or may have lost the stream.
func (h *host) recover() error {
	if err := h.find(h.ctx); err != nil {
		return err
	}
	return h.c.pause(h.ctx, firstPause)
}

// begin has a batch run. If its data are elsewhere, it does so in the background.
func (h *host) begin(msg jetstream.Msg) {
	info, err := msg.Metadata()
	w := &farWork{h: h, held: &held{msg: msg}, begun: time.Now(), first: err == nil && info.NumDelivered == 1}
	h.keeper.add(w.held)
	data := msg.Data()
	if len(data) > 0 && data[0] == inObject {
		h.tasks.Go(func() {
			if !h.enter(h.ctx) {
				return // the keeper gives it back
			}
			defer h.leave()
			data, _, err := h.read(h.ctx, data)
			h.work(w, data, err)
		})
		return
	}
	data, _, err = h.read(h.ctx, data)
	h.work(w, data, err)
}

// work has w run. If err is not nil, its data can't be read.
func (h *host) work(w *farWork, data []byte, err error) {
	if err == nil {
		err = callCodec.Decode(data, &w.call)
	}
	if err != nil || w.call.Calls < 1 || w.call.Calls > len(data) {
		// Its caller has stopped it, or it is not a call.
		h.keeper.release(w.held)
		if h.ctx.Err() != nil {
			_ = w.held.msg.Nak()
		} else {
			_ = w.held.msg.Term()
		}
		return
	}
	if h.isRunning(w) {
		return
	}
	if w.first && h.machines.Load() > 1 {
		w.run()
	} else {
		h.tasks.Go(w.runTried)
	}
}

// halt ends w. The caller holds the host's mutex.
func (w *farWork) halt(gently bool) {
	if w.stopped && (gently || !w.gently) {
		return
	}
	w.stopped, w.gently = true, gently
	if w.stop != nil { // else run does it
		go w.stop(context.Canceled, gently)
	}
}

// run gives w to the workers.
func (w *farWork) run() {
	h, c := w.h, &w.call
	stop, err := relay.Proc.Run(h.pool, &relay.Batch{
		Task: c.Task, Print: c.Print, Calls: c.Calls, Data: c.Data, Timeout: c.Timeout, Retries: c.Retries,
	}, w)
	if err != nil {
		w.failAll(err)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if w.stop = stop; w.stopped {
		go stop(context.Canceled, w.gently)
	}
}

// isRunning reports whether the batch of w runs already: it was given to this machine again, since the
// server had not heard of it in time. The reply then acknowledges w's message. Otherwise isRunning
// notes that it runs.
func (h *host) isRunning(w *farWork) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if old := h.running[w.call.ID]; old != nil {
		h.keeper.release(old.held)
		old.held = w.held
		return true
	}
	h.running[w.call.ID] = w
	return false
}

// stop ends batches that are not wanted any more.
func (h *host) stop(data []byte) {
	var list []farStop
	if stopCodec.Decode(data, &list) != nil {
		return
	}
	for _, s := range list {
		h.mu.Lock()
		if w := h.running[s.ID]; w != nil {
			w.halt(s.Gently)
		}
		h.mu.Unlock()
	}
}

// end ends the workers when they have finished what they have, or drain is over.
func (h *host) end(drain time.Duration) {
	if drain == 0 {
		drain = defaultDrain
	}
	ctx, cancel := context.WithTimeout(context.Background(), max(drain, 0))
	defer cancel()
	for _, s := range h.notices {
		_ = s.Unsubscribe() // fails if the connection is closed
	}
	if err := h.pool.Join(ctx); err == nil {
		h.settle(ctx)
	}
	h.mu.Lock()
	h.over = true
	h.mu.Unlock()
	h.giveUp()
	h.pool.Terminate()
	h.tasks.Wait()
	h.keeper.close()
	flush, stop := context.WithTimeout(context.Background(), cleanTime)
	defer stop()
	_ = h.c.conn.FlushWithContext(flush) // what is given back is given back now, or when the lease expires
}

func (h *host) broadcast() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changed.Broadcast()
}

// settle waits until all replies are stored, or ctx is done.
func (h *host) settle(ctx context.Context) {
	defer context.AfterFunc(ctx, h.broadcast)()
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.running) > 0 && ctx.Err() == nil {
		h.changed.Wait()
	}
}

// A farWork receives the answers to a batch, and sends them back when it has all.
type farWork struct {
	h       *host
	call    farCall
	begun   time.Time
	first   bool         // no machine has got it before
	each    atomic.Int64 // ns that a call took
	useless atomic.Bool  // there is no reply: the pool of this machine has not run a call, or the batch was withdrawn
	tried   atomic.Bool  // this machine may have stored a try

	mu      sync.Mutex
	answers farAnswers
	given   int            // calls whose answers these are
	early   map[int]answer // by call: those that came before the answer to an earlier call

	// The host's mutex guards these.
	held    *held
	stop    func(err error, gently bool)
	stopped bool
	gently  bool
}

// An answer is the answer to one call, as proc's pools read it.
type answer struct {
	worker string
	data   []byte
}

// Deliver implements relay.Answers.
func (w *farWork) Deliver(i int, worker string, data []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i != w.given {
		if w.early == nil {
			w.early = make(map[int]answer)
		}
		w.early[i] = answer{worker, slices.Clone(data)}
		return
	}
	w.give(worker, data)
	for len(w.early) > 0 {
		a, ok := w.early[w.given]
		if !ok {
			break
		}
		delete(w.early, w.given)
		w.give(a.worker, a.data)
	}
	if w.given == w.call.Calls {
		w.h.tasks.Go(w.reply)
	}
}

// give appends the answer to the next call. The caller holds mu.
func (w *farWork) give(worker string, data []byte) {
	w.answers.append(worker, data)
	w.given++
}

// Fail implements relay.Answers.
func (w *farWork) Fail(i int, err error) {
	if errors.Is(err, proc.ErrPoolClosed) || errors.Is(err, proc.ErrInit) {
		w.useless.Store(true)
		w.h.cancel(err)
	}
	var worker string
	if lost := (*proc.WorkerLostError)(nil); errors.As(err, &lost) {
		worker = lost.Worker
	}
	w.Deliver(i, worker, relay.Proc.Failure(nil, err))
}

// failAll fails all calls.
func (w *farWork) failAll(err error) {
	for i := range w.call.Calls {
		w.Fail(i, err)
	}
}

// Took implements relay.Answers.
func (w *farWork) Took(each time.Duration) { w.each.Store(int64(each)) }

// reply stores the answers, and then acknowledges the batch. If this machine has not run it, or is about
// to end, another machine is to run it.
func (w *farWork) reply() {
	h := w.h
	h.mu.Lock()
	useless := h.over || w.useless.Load()
	h.mu.Unlock()
	stored := !useless && w.store() == nil
	if stored {
		w.dropTries()
	}
	w.end(stored)
}

// end acknowledges w if its reply is stored, and otherwise gives it back.
func (w *farWork) end(stored bool) {
	h := w.h
	h.mu.Lock()
	defer h.mu.Unlock()
	h.keeper.release(w.held)
	if stored {
		_ = w.held.msg.Ack() // if the server does not hear of it, another machine runs the batch again
	} else {
		_ = w.held.msg.Nak()
	}
	delete(h.running, w.call.ID)
	h.changed.Broadcast()
}

// store stores the reply. The first one that the server has counts. So the object of a large one has a
// name of its own, and is dropped if the reply was not the first.
func (w *farWork) store() error {
	h := w.h
	data := encode(replyCodec, &farReply{w.call.ID, h.name, time.Duration(w.each.Load()), w.answers})
	msg := nats.NewMsg(h.subject + "replies." + w.call.Caller)
	msg.Header.Set(headerID, w.call.ID)
	id := w.call.ID + "-reply"
	object := id + "-" + nuid.Next()
	ack, err := h.publish(h.last, msg, id, object, data, jetstream.WithMsgTTL(keptFor))
	if err == nil && ack.Duplicate && h.isLarge(data) {
		h.dropUnlessNamed(h.last, object, ack.Sequence)
	}
	return err
}
