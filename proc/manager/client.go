package manager

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// A client is this process's session with a manager's server. All proxies of objects of that manager
// share it.
//
// No goroutine of its own receives the answers, so that a lone caller does not pay for a switch
// between goroutines:
//
//  1. A call sends its request. If no other call leads, it leads: it receives, and gives answers of
//     other calls to these, until it has its own.
//  2. Then it wakes one of the calls whose request was sent, which leads next. A call whose request
//     is still being sent must not be chosen: the server may be unable to take the request before
//     its answers are received.
//  3. A call whose context ends returns. A goroutine takes its part over until its answer has come,
//     so that the answer does not fill the pipe.
type client struct {
	id    uint64
	door  *ring.Queue[shm.Handle]
	alive *psync.Lock
	ready chan struct{} // closed when dial has ended
	link  link          // nil if that failed
	far   *reference    // to the manager, if the session goes over a connection; door and alive are closed then

	last  atomic.Uint64 // number of the last request
	users int           // how many Managers and proxies use it, guarded by clients.mu

	mu      sync.Mutex
	waiting map[uint64]*call // by number
	leading bool             // a call receives
	err     error            // why the session has ended
}

// A call is a request that waits for its answer. The client's mutex guards it.
type call struct {
	sent   bool
	done   bool
	answer []byte        // memory for answers, and then this call's own one
	wake   chan struct{} // the answer is there, the session has ended, or this call may lead
	args   reader        // of the answer
}

// calls are calls that have ended, for the next ones.
var calls = sync.Pool{New: func() any { return &call{answer: kept(nil), wake: make(chan struct{}, 1)} }}

// recycle ends the use of w and of its answer. No other goroutine knows w, because it has had its
// answer.
func (w *call) recycle() {
	select {
	case <-w.wake:
	default:
	}
	*w = call{answer: kept(w.answer), wake: w.wake}
	calls.Put(w)
}

func newClient(id uint64, door *ring.Queue[shm.Handle], alive *psync.Lock) *client {
	return &client{
		id: id, door: door, alive: alive, ready: make(chan struct{}), waiting: make(map[uint64]*call),
	}
}

// clients are this process's sessions, by the id of the manager.
var clients = struct {
	mu   sync.Mutex
	byID map[uint64]*client
}{byID: make(map[uint64]*client)}

// clientOf returns the client for the manager of r, with one more user.
func clientOf(r reference) (*client, error) {
	clients.mu.Lock()
	c := clients.byID[r.manager]
	if c != nil {
		c.users++
		clients.mu.Unlock()
		<-c.ready
		if err := c.failure(); err != nil {
			c.leave()
			return nil, err
		}
		return c, nil
	}
	c = newClient(r.manager, new(ring.Queue[shm.Handle]), new(psync.Lock))
	c.users = 1
	clients.byID[r.manager] = c
	clients.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := c.door.UnmarshalText([]byte(r.door))
	if err == nil {
		err = c.alive.UnmarshalText([]byte(r.alive))
	}
	if err := c.begin(ctx, err); err != nil {
		c.leave()
		return nil, err
	}
	return c, nil
}

// enter registers c, which has one user.
func (c *client) enter() {
	clients.mu.Lock()
	defer clients.mu.Unlock()
	c.users = 1
	clients.byID[c.id] = c
}

// join counts one more user of c, which has one.
func (c *client) join() {
	clients.mu.Lock()
	defer clients.mu.Unlock()
	c.users++
}

// leave counts one user less. The last one ends the session.
func (c *client) leave() {
	clients.mu.Lock()
	c.users--
	last := c.users == 0
	if last && clients.byID[c.id] == c {
		delete(clients.byID, c.id)
	}
	clients.mu.Unlock()
	if !last {
		return
	}
	c.fail(ErrClosed)
	if c.link != nil {
		_ = c.link.Close()
	}
	_ = c.door.Close()
	_ = c.alive.Close()
}

// begin begins the session, or fails with err if that is not nil.
func (c *client) begin(ctx context.Context, err error) error {
	defer close(c.ready)
	if err == nil {
		c.link, err = c.dial(ctx)
	}
	if err != nil {
		c.fail(err)
	}
	return err
}

// dial takes an end of a pipe from the door. It fails with ErrServerDied as soon as the server dies.
func (c *client) dial(ctx context.Context) (link, error) {
	ctx, stop := c.whileServed(ctx)
	defer stop()
	for {
		lease, err := c.door.Lease(ctx)
		if err != nil {
			cause := context.Cause(ctx)
			if cause == nil || errors.Is(cause, ErrServerDied) {
				return nil, errors.Join(cause, err)
			}
			return nil, fmt.Errorf("the manager has no session for one more process: it is busy or stopped, "+
				"or its segment is full: see Options.Size: %w", cause)
		}
		conn, err := open(ctx, lease.Value())
		if err == nil {
			return conn, lease.Done()
		}
		if ctx.Err() != nil {
			return nil, errors.Join(context.Cause(ctx), lease.Return())
		}
		// The end belonged to a client that died: see server.
		if err := lease.Done(); err != nil {
			return nil, err
		}
	}
}

// whileServed returns a context that ends with ctx, and with the cause ErrServerDied when the server
// dies. The caller must call stop, which waits until the lock is no longer in use.
func (c *client) whileServed(ctx context.Context) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		if err := c.alive.Acquire(ctx); errors.Is(err, psync.ErrOwnerDied) {
			cancel(ErrServerDied)
		} else if err == nil { // the server has not begun
			_ = c.alive.Release()
		}
	}()
	return ctx, func() { cancel(nil); <-watched }
}

// open opens an end of a pipe and begins a session.
func open(ctx context.Context, h shm.Handle) (*ring.Conn, error) {
	var conn ring.Conn
	if err := conn.UnmarshalText([]byte(h.String())); err != nil {
		return nil, err
	}
	if err := hello(ctx, &conn); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return &conn, nil
}

func hello(ctx context.Context, l link) error {
	if err := l.Send(ctx, make([]byte, requestHead)); err != nil { // opHello, number 0
		return err
	}
	_, err := l.Receive(ctx)
	return err
}

// failure returns why the session has ended, or nil.
func (c *client) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// fail ends the session, and all calls. It returns the error of the first fail.
func (c *client) fail(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	c.err = err
	for _, w := range c.waiting {
		w.signal()
	}
	return err
}

func (w *call) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// call sends a request, whose number it sets, and returns the call with its answer, which the caller
// recycles.
func (c *client) call(ctx context.Context, request []byte) (*call, error) {
	number := c.last.Add(1)
	binary.LittleEndian.PutUint64(request[1:], number)
	w := calls.Get().(*call)
	c.mu.Lock()
	if err := c.err; err != nil {
		c.mu.Unlock()
		return nil, err
	}
	c.waiting[number] = w
	c.mu.Unlock()
	if err := c.link.Send(ctx, request); err != nil {
		c.mu.Lock()
		delete(c.waiting, number)
		c.mu.Unlock()
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return nil, err
		}
		return nil, c.fail(died(err))
	}
	err := c.await(ctx, w)
	if err == nil {
		return w, nil
	}
	if failed := c.failure(); failed != nil {
		return nil, failed
	}
	c.tell(opCancel, number)
	go func() { // it ends with the answer, or with the session
		if c.await(context.Background(), w) == nil {
			c.undo(request, w.answer)
			w.recycle()
		}
	}()
	return nil, err
}

// undo gives up what the client got by an answer for which no call waits any more.
func (c *client) undo(request, answer []byte) {
	r := &reader{rest: answer}
	number, status := r.uint64(), r.byte()
	if status == statusPinned {
		c.tell(opUnpin, number)
	}
	if status != statusDone {
		return
	}
	switch request[0] {
	case opNew, opMake:
		c.tell(opRelease, r.uint64())
	case opAttach:
		c.tell(opRelease, binary.LittleEndian.Uint64(request[9:]))
	}
}

// await waits until the call has its answer. It fails with ctx's error, or if the session ends.
func (c *client) await(ctx context.Context, w *call) error {
	for {
		c.mu.Lock()
		w.sent = true
		done, err := w.done, c.err
		lead := !done && err == nil && !c.leading
		if lead {
			c.leading = true
		}
		c.mu.Unlock()
		switch {
		case done:
			return nil
		case err != nil:
			return err
		case lead:
			return c.lead(ctx, w)
		}
		select {
		case <-w.wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// lead receives answers until the call w has its own, which is nil as an error. It fails with ctx's
// error, or if the session ends.
func (c *client) lead(ctx context.Context, w *call) error {
	for {
		answer, err := receive(ctx, c.link, w.answer)
		if err == nil && len(answer) < answerHead {
			err = ErrProtocol
		}
		if err != nil {
			if ctx.Err() == nil || !errors.Is(err, ctx.Err()) {
				err = c.fail(died(err))
			}
			c.mu.Lock()
			c.stepDown()
			c.mu.Unlock()
			return err
		}
		w.answer = answer
		if c.deliver(w) {
			return nil
		}
	}
}

// deliver gives the answer that w has received to its call. If that is w, it ends w's lead and
// returns true.
func (c *client) deliver(w *call) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	number := binary.LittleEndian.Uint64(w.answer)
	got := c.waiting[number]
	if got == nil {
		return false
	}
	delete(c.waiting, number)
	got.done = true
	if got == w {
		c.stepDown()
		return true
	}
	got.answer, w.answer = w.answer, got.answer
	got.signal()
	return false
}

// stepDown lets another call lead. c.mu is held.
func (c *client) stepDown() {
	c.leading = false
	for _, w := range c.waiting {
		if w.sent {
			w.signal()
			return
		}
	}
}

// tell sends a request that has no answer. It does not block.
func (c *client) tell(op byte, object uint64) {
	msg := newRequest(op, object)
	if err := c.link.Send(once, msg); errors.Is(err, context.Canceled) { // there is no space
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			_ = c.link.Send(ctx, msg) // if the session has ended, so has what the request is about
		}()
	}
}

// died returns the error for a link that has failed.
func died(err error) error {
	if errors.Is(err, ErrClosed) {
		return ErrClosed
	}
	return fmt.Errorf("%w (%w)", ErrServerDied, err)
}

// newRequest returns the head of a request.
func newRequest(op byte, object uint64) []byte {
	b := make([]byte, requestHead, 128)
	b[0] = op
	binary.LittleEndian.PutUint64(b[9:], object)
	return b
}
