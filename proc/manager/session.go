package manager

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/seed-2e7ecdea/mp/shm"
)

// patience is how long the server waits for a client to receive an answer, before it ends the
// session.
const patience = 30 * time.Second

// A session serves one client. Its client's death ends it, and gives up all that the client refers
// to.
type session struct {
	server *server
	link   link
	ctx    context.Context // done when the session ends
	end    context.CancelFunc
	calls  sync.WaitGroup // of registered functions

	once exchange // of the request that the session's goroutine does; its memory is used again
	args reader   // of that request

	mu       sync.Mutex
	attached map[uint64]int                // how often the client is attached to each object
	pins     map[uint64][]uint64           // the references in each answer that it has not confirmed
	running  map[uint64]context.CancelFunc // the registered functions that run, by request
}

// serveLink serves a client, whose first request was received, until the link or ctx ends.
func (s *server) serveLink(ctx context.Context, l link, first []byte) {
	c := &session{
		server: s, link: l,
		attached: make(map[uint64]int),
		pins:     make(map[uint64][]uint64), running: make(map[uint64]context.CancelFunc),
	}
	c.ctx, c.end = context.WithCancel(ctx)
	// The session's goroutine waits without a context, which would cost an entry in ctx for each wait.
	defer context.AfterFunc(c.ctx, func() { _ = l.Close() })()
	s.count(1)
	defer s.count(-1)
	defer c.close()
	var out []byte
	for msg := first; ; {
		var err error
		if out, err = c.handle(out[:0], msg); err == nil && len(out) > 0 {
			err = c.send(out)
		}
		if err == nil {
			msg, err = receive(context.Background(), l, kept(msg))
		}
		if err != nil {
			return
		}
		out = kept(out)
	}
}

// send sends an answer. A client that does not receive it in time loses its session.
func (c *session) send(msg []byte) error {
	if len(msg) <= maxKept && c.link.Send(once, msg) == nil { // most often there is space, and no timer is needed
		return nil
	}
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	return c.link.Send(ctx, msg)
}

// close gives up all that the client refers to.
func (c *session) close() {
	c.end()
	c.calls.Wait()
	c.mu.Lock()
	attached, pins := c.attached, c.pins
	c.attached, c.pins = nil, nil
	c.mu.Unlock()
	for id, n := range attached {
		for range n {
			c.server.table.release(id)
		}
	}
	for ids := range maps.Values(pins) {
		c.server.table.release(ids...)
	}
}

// handle does a request, and appends the answer to dst, if there is one now. An error ends the
// session. The memory of msg is used again afterwards.
func (c *session) handle(dst, msg []byte) ([]byte, error) {
	if len(msg) < requestHead {
		return dst, ErrProtocol
	}
	op := msg[0]
	number := binary.LittleEndian.Uint64(msg[1:])
	object := binary.LittleEndian.Uint64(msg[9:])
	c.args = reader{rest: msg[requestHead:]}
	args := &c.args
	switch op {
	case opRelease:
		c.detach(object)
		return dst, nil
	case opUnpin:
		c.unpin(object)
		return dst, nil
	case opCancel:
		c.mu.Lock()
		if cancel := c.running[object]; cancel != nil {
			cancel()
		}
		c.mu.Unlock()
		return dst, nil
	case opCall, opMake:
		c.start(op, number, object, args)
		return dst, nil
	}
	x := &c.once
	*x = exchange{table: c.server.table, session: c, discarded: x.discarded[:0]}
	out, err := c.do(x, op, object, args, append(appendUint64(dst, number), statusDone))
	if err == errBusy {
		c.later(op, number, object, bytes.Clone(msg[requestHead:]))
		return dst, nil
	}
	return c.finish(x, number, out, err, statusError), nil
}

// later does a request in a goroutine of its own, because a registered function has the object, or
// another session. The client's other requests are heard meanwhile.
func (c *session) later(op byte, number, object uint64, args []byte) {
	c.calls.Go(func() {
		x := exchange{table: c.server.table, session: c, wait: true}
		out, err := c.do(&x, op, object, &reader{rest: args}, append(appendUint64(nil, number), statusDone))
		if c.send(c.finish(&x, number, out, err, statusError)) != nil {
			c.end() // the client does not receive
		}
	})
}

// finish completes an answer: out, which begins with the number and statusDone, or err.
func (c *session) finish(x *exchange, number uint64, out []byte, err error, status byte) []byte {
	x.table.release(x.discarded...)
	if err != nil {
		x.table.release(x.pinned...)
		return appendError(append(out[:8], status), err)
	}
	if len(x.pinned) > 0 {
		out[8] = statusPinned
		c.mu.Lock()
		open := c.pins != nil
		if open {
			c.pins[number] = x.pinned
		}
		c.mu.Unlock()
		if !open {
			x.table.release(x.pinned...)
		}
	}
	return out
}

// do does a request that has an answer.
func (c *session) do(x *exchange, op byte, object uint64, args *reader, dst []byte) ([]byte, error) {
	switch op {
	case opHello:
		return dst, args.end()
	case opStats:
		objects, sessions := c.server.stats()
		return appendUint64(appendUint64(dst, objects), sessions), args.end()
	case opNew:
		kind, print := args.uint64(), args.uint64()
		if err := args.end(); err != nil {
			return dst, err
		}
		var made content
		switch kind {
		case kindDict, kindSet, kindNamespace:
			made = newDict()
		case kindList:
			made = &list{}
		default:
			return dst, ErrProtocol
		}
		return appendUint64(dst, c.add(kind, print, made)), nil
	case opPass:
		token, ok := x.table.pass(object)
		if !ok {
			return dst, ErrGone
		}
		return appendUint64(dst, token), args.end()
	case opAttach:
		return dst, c.attach(object, args)
	case opReference:
		r := c.server.reference
		dst = appendSized(appendUint64(dst, r.manager), []byte(r.door))
		return appendSized(dst, []byte(r.alive)), args.end()
	case opPublish, opUnpublish, opOpen:
		return c.named(op, object, args, dst)
	}
	e := x.table.find(object)
	if e == nil {
		return dst, ErrGone
	}
	if isList := e.kind == kindList; op < opDict || isList != (op >= opList) || e.kind == kindInstance {
		return dst, ErrProtocol
	}
	if op >= dictUnion && op <= setCommon {
		if op > dictSymmetric && e.kind != kindSet {
			return dst, ErrProtocol
		}
		if err := x.gather(args); err != nil {
			return dst, err
		}
	}
	if !x.lock(e) {
		return dst, errBusy
	}
	defer e.mu.Unlock()
	if e.gone {
		return dst, ErrGone
	}
	return e.do(x, op, args, dst)
}

// named does the requests about the names of objects.
func (c *session) named(op byte, object uint64, args *reader, dst []byte) ([]byte, error) {
	t, name := c.server.table, string(args.sized())
	if err := args.end(); err != nil {
		return dst, err
	}
	switch op {
	case opPublish:
		return dst, t.publish(name, object)
	case opUnpublish:
		id, ok := t.unpublish(name)
		if !ok {
			return dst, ErrNotFound
		}
		t.release(id)
		return dst, nil
	}
	e, token, ok := t.open(name)
	if !ok {
		return dst, ErrNotFound
	}
	for _, n := range []uint64{e.id, token, e.kind, e.fingerprint} {
		dst = appendUint64(dst, n)
	}
	return dst, nil
}

// add makes an object to which the client is attached.
func (c *session) add(kind, print uint64, made content) uint64 {
	e := c.server.table.add(kind, print, made)
	c.count(e.id)
	return e.id
}

// count notes that the client is attached to an object once more.
func (c *session) count(id uint64) {
	c.mu.Lock()
	open := c.attached != nil
	if open {
		c.attached[id]++
	}
	c.mu.Unlock()
	if !open {
		c.server.table.release(id)
	}
}

func (c *session) attach(object uint64, args *reader) error {
	token, kind, print := args.uint64(), args.uint64(), args.uint64()
	if err := args.end(); err != nil {
		return err
	}
	e, ok := c.server.table.redeem(object, token)
	if !ok {
		return ErrGone
	}
	if e.kind != kind || e.fingerprint != print {
		c.server.table.release(object)
		return fmt.Errorf("%w: the object holds other types", shm.ErrMismatch)
	}
	c.count(object)
	return nil
}

func (c *session) detach(object uint64) {
	c.mu.Lock()
	n := c.attached[object]
	if n == 1 {
		delete(c.attached, object)
	} else if n > 1 {
		c.attached[object] = n - 1
	}
	c.mu.Unlock()
	if n > 0 {
		c.server.table.release(object)
	}
}

func (c *session) unpin(number uint64) {
	c.mu.Lock()
	ids := c.pins[number]
	delete(c.pins, number)
	c.mu.Unlock()
	c.server.table.release(ids...)
}

// start runs a registered function in a goroutine of its own, so that the client's other requests
// and its cancellation are heard meanwhile.
func (c *session) start(op byte, number, object uint64, args *reader) {
	name, in := string(args.sized()), bytes.Clone(args.sized())
	err := args.end()
	ctx, cancel := context.WithCancel(c.ctx)
	c.mu.Lock()
	c.running[number] = cancel
	c.mu.Unlock()
	c.calls.Go(func() {
		x := exchange{table: c.server.table, session: c, ctx: ctx}
		out := append(appendUint64(nil, number), statusDone)
		status := byte(statusError)
		defer func() { // the client gets an answer even if the function calls runtime.Goexit
			c.mu.Lock()
			delete(c.running, number)
			c.mu.Unlock()
			cancel()
			if c.send(c.finish(&x, number, out, err, status)) != nil {
				c.end() // the client does not receive
			}
		}()
		if err != nil {
			return
		}
		status, err = statusFailed, errExited
		if op == opMake {
			out, status, err = x.makeInstance(name, in, out)
		} else {
			out, status, err = x.call(object, name, in, out)
		}
	})
}

// errExited is the error of a function that has not returned and has not panicked.
var errExited = errors.New("the function has ended its goroutine by runtime.Goexit")

// An exchange is a request that is being done.
type exchange struct {
	table     *table
	session   *session
	ctx       context.Context // of a registered function
	wait      bool            // it may wait for objects
	discarded []uint64        // references that the request removed
	pinned    []uint64        // references in the answer
	others    [][]string      // the keys of the other sets
}

// lock locks an entry. It returns false if it would have to wait and may not.
func (x *exchange) lock(e *entry) bool {
	if x.wait {
		e.mu.Lock()
		return true
	}
	return e.mu.TryLock()
}

func (x *exchange) keep(data []byte) value { return x.table.keep(data) }

// again returns a copy of v.
func (x *exchange) again(v value) value {
	for _, id := range v.refs {
		x.table.hold(id)
	}
	return v
}

// discard gives references up after the object's mutex is unlocked.
func (x *exchange) discard(refs ...uint64) { x.discarded = append(x.discarded, refs...) }

// answer appends v as sized bytes. Until the client has confirmed the answer, it counts as a user of
// what v refers to: v may be removed before the client is attached to that.
func (x *exchange) answer(dst []byte, v value) []byte {
	for _, id := range v.refs {
		if _, ok := x.table.hold(id); ok {
			x.pinned = append(x.pinned, id)
		}
	}
	return appendSized(dst, v.data)
}

// gather copies the keys of other sets, one after the other, while no other mutex is held.
func (x *exchange) gather(args *reader) error {
	for args.err == nil && len(args.rest) > 0 {
		e := x.table.find(args.uint64())
		if args.err != nil {
			break
		}
		if e == nil || e.kind != kindSet {
			return ErrGone
		}
		if !x.lock(e) {
			return errBusy
		}
		x.others = append(x.others, e.content.(*dict).keys())
		e.mu.Unlock()
	}
	return args.end()
}

// call runs a registered function on an object.
func (x *exchange) call(object uint64, name string, in, dst []byte) (_ []byte, status byte, err error) {
	e, ok := x.table.hold(object)
	if !ok {
		return dst, statusError, ErrGone
	}
	x.discard(object)
	f := findFunction(name)
	if f.run == nil {
		return dst, statusError, fmt.Errorf("function %q: %w", name, ErrUnknownFunction)
	}
	if f.kind != e.kind || f.fingerprint != e.fingerprint {
		return dst, statusError, fmt.Errorf("function %q: %w: the object holds other types", name, shm.ErrMismatch)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.gone {
		return dst, statusError, ErrGone
	}
	if err := x.ctx.Err(); err != nil { // it waited for the object
		return dst, statusError, err
	}
	out, err := guarded(func() ([]byte, error) { return f.run(x, e.content, in, dst) })
	if err != nil {
		return dst, statusFailed, err
	}
	return out, statusDone, nil
}

// makeInstance makes an object of a registered type.
func (x *exchange) makeInstance(name string, in, dst []byte) (_ []byte, status byte, err error) {
	t := findType(name)
	if t.make == nil {
		return dst, statusError, fmt.Errorf("type %q: %w", name, ErrUnknownFunction)
	}
	var made content
	_, err = guarded(func() ([]byte, error) {
		made, err = t.make(x.ctx, in)
		return nil, err
	})
	if err != nil {
		return dst, statusFailed, err
	}
	return appendUint64(dst, x.session.add(kindInstance, t.fingerprint, made)), statusDone, nil
}

// guarded calls f and returns its panic as an error.
func guarded(f func() ([]byte, error)) (out []byte, err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case coding:
			err = p.err
		default:
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return f()
}

// A coding is the panic of a method of DictState or ListState whose value can't be encoded or
// decoded.
type coding struct{ err error }

// errBusy means that a request has to wait for an object, and has done nothing yet.
var errBusy = errors.New("the object is in use")
