package manager

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/codec"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A proxy is what all proxies have in common. The zero proxy is closed.
type proxy struct{ to atomic.Pointer[attachment] }

// An attachment is a process's use of an object. It ends by Close, or when the garbage collector
// finds that the program has dropped the proxy.
type attachment struct {
	client  *client
	object  uint64
	kind    uint64
	print   uint64
	codecs  any // of the proxy's type parameters
	cleanup runtime.Cleanup
}

// A use is what an attachment gives up at its end.
type use struct {
	client *client
	object uint64
}

func (u use) end() {
	u.client.tell(opRelease, u.object)
	u.client.leave()
}

// set makes the proxy refer to an object, to which the client is attached. c counts the proxy as a
// user already.
func (p *proxy) set(c *client, object, kind, print uint64, codecs any) {
	a := &attachment{client: c, object: object, kind: kind, print: print, codecs: codecs}
	a.cleanup = runtime.AddCleanup(a, use.end, use{c, object})
	endOf(p.to.Swap(a))
}

func endOf(a *attachment) {
	if a != nil {
		a.cleanup.Stop()
		use{a.client, a.object}.end()
		runtime.KeepAlive(a)
	}
}

// Close ends this process's use of the object, as far as it uses it through this proxy. The object
// goes with its last user. Close does not block. It returns nil if the proxy is closed already.
func (p *proxy) Close() error {
	endOf(p.to.Swap(nil))
	return nil
}

// Handle returns the handle of a part of the manager's segment, by which package proc knows that the
// process that gets the proxy needs the segment. It returns the zero Handle if the proxy is closed, or
// if its Manager was made by Connect.
func (p *proxy) Handle() shm.Handle {
	if a := p.to.Load(); a != nil {
		return a.client.door.Handle()
	}
	return shm.Handle{}
}

// MarshalText encodes a reference to the object, which keeps the object for the time of
// Options.Passage, so that the receiver finds it even if this process ends its use before. It makes
// a trip to the server, and fails with ErrClosed, ErrGone or ErrServerDied, or with
// context.DeadlineExceeded if the server does not answer for 30 s.
func (p *proxy) MarshalText() ([]byte, error) {
	a := p.to.Load()
	if a == nil {
		return nil, failed("MarshalText", ErrClosed)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ref, err := a.client.reference()
	if err == nil {
		ref.object, ref.kind, ref.fingerprint = a.object, a.kind, a.print
		err = a.call(ctx, newRequest(opPass, a.object), func(r *reader) error {
			ref.token = r.uint64()
			return nil
		})
	}
	if err != nil {
		return nil, failed("MarshalText", err)
	}
	return ref.text(), nil
}

// MarshalBinary is MarshalText.
func (p *proxy) MarshalBinary() ([]byte, error) { return p.MarshalText() }

// reference returns a reference to the manager.
func (c *client) reference() (r reference, err error) {
	if c.far != nil {
		return *c.far, nil
	}
	door, err := c.door.MarshalText()
	if err != nil {
		return r, err
	}
	alive, err := c.alive.MarshalText()
	return reference{manager: c.id, door: string(door), alive: string(alive)}, err
}

// attach makes the proxy refer to the object of a reference.
func (p *proxy) attach(text []byte, kind, print uint64, codecs any) error {
	ref, err := parseReference(text)
	if err != nil {
		return err
	}
	if ref.object == 0 || ref.kind != kind || ref.fingerprint != print {
		return fmt.Errorf("%w: the object is of another kind or holds other types", shm.ErrMismatch)
	}
	c, err := clientOf(ref)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	msg := newRequest(opAttach, ref.object)
	for _, n := range []uint64{ref.token, kind, print} {
		msg = appendUint64(msg, n)
	}
	if err := c.request(ctx, msg, nil); err != nil {
		c.leave()
		return err
	}
	p.set(c, ref.object, kind, print, codecs)
	return nil
}

// call makes a request on the object, and decodes the answer by decode, which may be nil.
func (a *attachment) call(ctx context.Context, msg []byte, decode func(r *reader) error) error {
	defer runtime.KeepAlive(a)
	return a.client.request(ctx, msg, decode)
}

// request makes a request, and decodes the answer by decode, which may be nil. The memory that decode
// reads is used again afterwards.
func (c *client) request(ctx context.Context, msg []byte, decode func(r *reader) error) error {
	w, err := c.call(ctx, msg)
	if err != nil {
		return err
	}
	defer w.recycle()
	w.args = reader{rest: w.answer[answerHead:]}
	r := &w.args
	switch status := w.answer[8]; status {
	case statusDone, statusPinned:
		if decode != nil {
			err = decode(r)
		}
		if status == statusPinned {
			c.tell(opUnpin, binary.LittleEndian.Uint64(w.answer))
		}
		return errors.Join(err, r.end())
	case statusFailed:
		return &RemoteError{Err: decodeError(r.rest)}
	case statusError:
		return decodeError(r.rest)
	}
	return ErrProtocol
}

// request returns the attachment, and the beginning of a request on its object.
func (p *proxy) request(op byte) (*attachment, []byte, error) {
	a := p.to.Load()
	if a == nil {
		return nil, nil, ErrClosed
	}
	return a, newRequest(op, a.object), nil
}

// simple makes a request with only numbers as arguments.
func (p *proxy) simple(ctx context.Context, op byte, decode func(r *reader) error, args ...uint64) error {
	a, msg, err := p.request(op)
	if err != nil {
		return err
	}
	for _, n := range args {
		msg = appendUint64(msg, n)
	}
	return a.call(ctx, msg, decode)
}

// count makes a request whose answer is a count.
func (p *proxy) count(ctx context.Context, op byte) (n int, err error) {
	err = p.simple(ctx, op, func(r *reader) error {
		n = int(r.uint64())
		return nil
	})
	return n, err
}

// apply runs a registered function on the object.
func (p *proxy) apply(ctx context.Context, name string, in func(dst []byte) ([]byte, error), out func(b []byte) error) error {
	a, msg, err := p.request(opCall)
	if err != nil {
		return err
	}
	if msg, err = in(appendSized(msg, []byte(name))); err != nil {
		return err
	}
	err = a.call(ctx, msg, func(r *reader) error {
		b := r.rest
		r.rest = nil
		return out(b)
	})
	return named(err, name)
}

// named sets the function in a *RemoteError.
func named(err error, function string) error {
	if remote := (*RemoteError)(nil); errors.As(err, &remote) && remote.Function == "" {
		remote.Function = function
	}
	return err
}

// decodeAll decodes sized values up to the end of the message.
func decodeAll[T any](r *reader, c *codec.Codec[T]) ([]T, error) {
	var all []T
	for len(r.rest) > 0 && r.err == nil {
		var v T
		if err := decodeOne(r, c, &v); err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, r.err
}

// decodeOne decodes one sized value.
func decodeOne[T any](r *reader, c *codec.Codec[T], v *T) error {
	b := r.sized()
	if r.err != nil {
		return r.err
	}
	return c.Decode(b, v)
}

// appendAll appends values as sized bytes.
func appendAll[T any](msg []byte, c *codec.Codec[T], vs []T) (_ []byte, err error) {
	for i := range vs {
		if msg, err = appendValue(msg, c, &vs[i]); err != nil {
			return msg, err
		}
	}
	return msg, nil
}
