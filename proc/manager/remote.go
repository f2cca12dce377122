package manager

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/seed-2e7ecdea/mp/proc/connection"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// Serve lets programs that connect to l use the manager. It passes messages on between each of their
// connections and a pipe to the manager's process, so any process that uses the manager may serve
// it. Who may connect is for the Listener to say: each client may use every object. Serve blocks until
// ctx is done, and returns ctx's error; until l is closed, and returns ErrClosed; or until the
// manager's process dies, and returns ErrServerDied. Then all of its connections are closed.
func (m *Manager) Serve(ctx context.Context, l *connection.Listener) error {
	c, err := m.use()
	if err != nil {
		return failed("Manager.Serve", err)
	}
	defer c.leave()
	if c.far != nil {
		return failed("Manager.Serve", fmt.Errorf("this process itself uses the manager over a connection: %w", errors.ErrUnsupported))
	}
	ctx, stop := c.whileServed(ctx)
	var relays sync.WaitGroup
	defer relays.Wait()
	defer stop()
	for {
		far, err := l.Accept(ctx)
		if err != nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return failed("Manager.Serve", err)
		}
		relays.Go(func() { c.relay(ctx, far) })
	}
}

// relay passes messages on between a connection and a new session, until one of them ends. It closes
// both, so the manager's process gives up what the client referred to, and the client learns of the
// end.
func (c *client) relay(ctx context.Context, far *connection.Conn) {
	defer far.Close()
	near, err := c.dial(ctx)
	if err != nil {
		return
	}
	defer near.Close()
	ctx, cancel := context.WithCancel(ctx)
	var ways sync.WaitGroup
	defer ways.Wait()
	defer cancel()
	way := func(from, to link) {
		defer cancel()
		for {
			msg, err := from.Receive(ctx)
			if err != nil || to.Send(ctx, msg) != nil {
				return
			}
		}
	}
	ways.Go(func() { way(near, far) })
	way(far, near)
}

// Connect uses a manager that another program serves, over a connection to its Listener. From then on
// the Manager owns conn. Open finds the objects that were published.
//
// Proxies can be stored in objects of the manager, as others can. But they can't be given to other
// processes: those connect by themselves. Segment fails with shm.ErrHandle. A process has one
// session with a manager: if it uses the manager already, Connect closes conn. Connect fails with
// ctx's error when ctx is done, and with ErrServerDied if the connection ends.
func Connect(ctx context.Context, conn *connection.Conn) (*Manager, error) {
	c := newClient(0, new(ring.Queue[shm.Handle]), new(psync.Lock))
	c.link, c.users = conn, 1
	close(c.ready)
	c.far = new(reference)
	err := hello(ctx, conn)
	if err == nil {
		err = c.request(ctx, newRequest(opReference, 0), func(r *reader) error {
			c.far.manager, c.far.door, c.far.alive = r.uint64(), string(r.sized()), string(r.sized())
			return nil
		})
	} else {
		err = died(err)
	}
	if err != nil {
		c.leave()
		return nil, failed("Connect", err)
	}
	c.id = c.far.manager
	if known := c.enterUnlessKnown(); known != nil {
		c.leave()
		return &Manager{client: known}, nil
	}
	return &Manager{client: c}, nil
}

// enterUnlessKnown registers c, or returns the client that is registered for that manager, with one
// more user.
func (c *client) enterUnlessKnown() *client {
	clients.mu.Lock()
	defer clients.mu.Unlock()
	if known := clients.byID[c.id]; known != nil && known.failure() == nil {
		known.users++
		return known
	}
	clients.byID[c.id] = c
	return nil
}
