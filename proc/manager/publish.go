package manager

import (
	"context"
	"encoding"
	"runtime"
)

// An Object is a proxy: a *Dict, *List, *Set, *Namespace or *Instance.
type Object interface {
	encoding.TextMarshaler
	encoding.TextUnmarshaler
	attached() *attachment
}

// attached returns the proxy's attachment, nil if it is closed.
func (p *proxy) attached() *attachment { return p.to.Load() }

// Publish gives an object of m a name, by which every process that uses the manager can open it. The
// object then lives until Unpublish, or longer. Publish fails with fs.ErrExist if another object has
// the name, and as methods of Dict do. An object may have several names.
func (m *Manager) Publish(ctx context.Context, name string, o Object) error {
	a := o.attached()
	if a == nil {
		return failed("Manager.Publish", ErrClosed)
	}
	err := m.request(ctx, appendSized(newRequest(opPublish, a.object), []byte(name)), nil)
	runtime.KeepAlive(a)
	return failed("Manager.Publish", err)
}

// Unpublish takes a name away. The object lives as long as it has other users. Unpublish fails with
// ErrNotFound if no object has the name.
func (m *Manager) Unpublish(ctx context.Context, name string) error {
	return failed("Manager.Unpublish", m.request(ctx, appendSized(newRequest(opUnpublish, 0), []byte(name)), nil))
}

// Open makes o, which may be a zero proxy, a proxy of the object that was published under that name:
//
//	var scores manager.Dict[string, int]
//	err := m.Open(ctx, "scores", &scores)
//
// It fails with ErrNotFound if no object has the name, with shm.ErrMismatch if o is of another kind or
// for other types, and as methods of Dict do.
func (m *Manager) Open(ctx context.Context, name string, o Object) error {
	c, err := m.use()
	if err != nil {
		return failed("Manager.Open", err)
	}
	defer c.leave()
	ref, err := c.reference()
	if err == nil {
		err = c.request(ctx, appendSized(newRequest(opOpen, 0), []byte(name)), func(r *reader) error {
			ref.object, ref.token, ref.kind, ref.fingerprint = r.uint64(), r.uint64(), r.uint64(), r.uint64()
			return nil
		})
	}
	if err == nil {
		err = o.UnmarshalText(ref.text())
	}
	return failed("Manager.Open", err)
}

// request makes a request.
func (m *Manager) request(ctx context.Context, msg []byte, decode func(r *reader) error) error {
	c, err := m.use()
	if err != nil {
		return err
	}
	defer c.leave()
	return c.request(ctx, msg, decode)
}
