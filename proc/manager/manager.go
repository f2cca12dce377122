package manager

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// DefaultPassage is the default of Options.Passage.
const DefaultPassage = time.Minute

// DefaultMaxRepeat is the default of Options.MaxRepeat.
const DefaultMaxRepeat = 1 << 24

// Options are options for New. A nil *Options, and each zero field, means the default.
type Options struct {
	// Size is the size in bytes of the manager's segment: see shm.Anonymous. The default is as much
	// as the address space allows, of which memory is taken only for what is made, or 16 MiB on
	// 32-bit systems. Each process that uses the manager takes 130 KiB. When the segment is full,
	// one more process waits until another ends its use, but at most 30 s: then decoding its first
	// proxy fails. Processes that use the manager already go on.
	Size int

	// Passage is how long a proxy that is on its way to another process keeps its object: from the
	// moment at which it is encoded until another process attaches to it, and no longer than that.
	// It matters only if the sender closes its proxy or ends before. The default is DefaultPassage.
	Passage time.Duration

	// MaxRepeat is the length of the longest list that List.Repeat makes. Without a limit, a short
	// request could use up the memory of the manager's process. An element takes about 50 bytes. The
	// default is DefaultMaxRepeat.
	MaxRepeat int

	// Process configures the manager's process. Its Method may not be proc.InProcess.
	Process proc.Options
}

// A Manager is a process that holds objects for other processes. It may be part of a task's argument
// or result, or of a message: each process that decodes it uses the same manager.
//
// All methods may be called from several goroutines at once. A Manager must not be copied. The zero
// Manager is closed.
type Manager struct {
	mu     sync.Mutex
	client *client
	own    *owned // nil if another process made the manager
}

// owned is what only the process has that made the manager.
type owned struct {
	process *proc.Call[proc.None]
	segment *shm.Segment
}

// New starts a manager's process, and returns when it serves. The process dies with this one. It is
// a daemon: proc.Shutdown ends it. New fails if the process can't be started, or ends early, or
// with ctx's error when ctx is done.
func New(ctx context.Context, o *Options) (*Manager, error) {
	m, err := start(ctx, o)
	if err != nil {
		return nil, failed("New", err)
	}
	return m, nil
}

func start(ctx context.Context, options *Options) (_ *Manager, err error) {
	var o Options
	if options != nil {
		o = *options
	}
	if o.Size == 0 && math.MaxInt == math.MaxInt32 {
		o.Size = 16 << 20
	}
	if o.Passage == 0 {
		o.Passage = DefaultPassage
	}
	if o.Passage < time.Millisecond {
		return nil, fmt.Errorf("Options.Passage of %v: %w: give 1 ms or more", o.Passage, shm.ErrSize)
	}
	if o.MaxRepeat == 0 {
		o.MaxRepeat = DefaultMaxRepeat
	}
	if o.MaxRepeat < 0 {
		return nil, fmt.Errorf("Options.MaxRepeat of %d: %w: give 1 or more", o.MaxRepeat, shm.ErrSize)
	}
	if o.Process.Method == proc.InProcess {
		return nil, fmt.Errorf("Options.Process.Method %v: %w", o.Process.Method, errors.ErrUnsupported)
	}
	o.Process.Daemon = true
	seg, err := shm.Anonymous(o.Size, nil)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, seg.Close())
		}
	}()
	door, err := ring.NewQueue[shm.Handle](seg, "", doorCapacity, nil)
	if err != nil {
		return nil, err
	}
	alive, err := psync.NewLock(seg, "", nil)
	if err != nil {
		return nil, err
	}
	c := newClient(rand.Uint64(), door, alive)
	job := serverJob{ID: c.id, Door: door, Alive: alive, Passage: o.Passage, MaxRepeat: o.MaxRepeat}
	process, err := serverTask.Start(ctx, job, &o.Process)
	if err != nil {
		return nil, err
	}
	c.enter()
	ctx, cancel := whileAlive(ctx, process)
	defer cancel(nil)
	if err := c.begin(ctx, nil); err != nil {
		c.leave()
		return nil, errors.Join(err, end(process))
	}
	return &Manager{client: c, own: &owned{process, seg}}, nil
}

// whileAlive returns a context that ends with ctx, and with ErrServerDied when the process ends.
// The caller must cancel it.
func whileAlive(ctx context.Context, p *proc.Call[proc.None]) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-p.Done():
			cancel(ErrServerDied)
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// end kills the process and waits for its end.
func end(p *proc.Call[proc.None]) error {
	if err := p.Kill(); err != nil {
		return err
	}
	err := p.Join(context.Background())
	if exit := (*proc.ExitError)(nil); errors.As(err, &exit) {
		return nil
	}
	return err
}

// use returns the client with one more user, which the caller must end by leave.
func (m *Manager) use() (*client, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.client == nil {
		return nil, ErrClosed
	}
	m.client.join()
	return m.client, nil
}

// make makes an object, and p the first proxy of it.
func (m *Manager) make(ctx context.Context, p *proxy, kind, print uint64, codecs any) error {
	msg := appendUint64(appendUint64(newRequest(opNew, 0), kind), print)
	return m.created(ctx, msg, p, kind, print, codecs)
}

func (m *Manager) created(ctx context.Context, msg []byte, p *proxy, kind, print uint64, codecs any) error {
	c, err := m.use()
	if err != nil {
		return err
	}
	err = c.request(ctx, msg, func(r *reader) error {
		p.set(c, r.uint64(), kind, print, codecs)
		return nil
	})
	if err != nil {
		c.leave()
	}
	return err
}

// Segment returns the manager's segment of shared memory. Make in it the queues, locks, conditions,
// events, barriers, semaphores, values and arrays that go with the manager. They work without the
// manager's process. In the process that made the manager, Close closes the segment.
// Segment fails with ErrClosed, or as shm.Reach does.
func (m *Manager) Segment() (*shm.Segment, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.client == nil:
		return nil, failed("Manager.Segment", ErrClosed)
	case m.own != nil:
		return m.own.segment, nil
	}
	seg, err := shm.Reach(m.client.door.Handle())
	return seg, failed("Manager.Segment", err)
}

// Stats are numbers of a manager.
type Stats struct {
	Objects  int // objects that the manager's process holds
	Sessions int // processes that use it
}

// Stats returns the numbers of the manager. It makes a trip to the manager's process, and fails with
// ctx's error, ErrServerDied or ErrClosed.
func (m *Manager) Stats(ctx context.Context) (s Stats, err error) {
	err = m.request(ctx, newRequest(opStats, 0), func(r *reader) error {
		s.Objects, s.Sessions = int(r.uint64()), int(r.uint64())
		return nil
	})
	return s, failed("Manager.Stats", err)
}

// Process returns the manager's process. It is nil if another process made the manager, or if the
// Manager is closed.
func (m *Manager) Process() *proc.Process {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.own == nil {
		return nil
	}
	return m.own.process.Process
}

// Shutdown ends the manager's process, and waits for its end. If it has not ended when ctx is done,
// Shutdown kills it. The objects are lost: proxies fail with ErrServerDied. Shutdown also closes m.
// It fails if another process made the manager. It returns nil if m is closed already.
func (m *Manager) Shutdown(ctx context.Context) error {
	m.mu.Lock()
	c, own := m.client, m.own
	if c != nil && own == nil {
		m.mu.Unlock()
		return failed("Manager.Shutdown", errNotOwner)
	}
	m.client, m.own = nil, nil
	m.mu.Unlock()
	if c == nil {
		return nil
	}
	err := own.process.Terminate()
	if err == nil {
		select {
		case <-own.process.Done():
		case <-ctx.Done():
		}
	}
	err = errors.Join(err, end(own.process))
	c.fail(ErrServerDied)
	c.leave()
	return failed("Manager.Shutdown", errors.Join(err, own.segment.Close()))
}

var errNotOwner = errors.New("another process made the manager: only that one can shut it down")

// Close ends the use of the manager through m. In the process that made the manager, it shuts the
// manager down, as Shutdown does with the time of proc.DefaultGrace. Elsewhere, objects that this
// process uses are not affected. Close returns nil if m is closed already.
func (m *Manager) Close() error {
	m.mu.Lock()
	c, own := m.client, m.own
	if own == nil {
		m.client = nil
	}
	m.mu.Unlock()
	switch {
	case own != nil:
		ctx, cancel := context.WithTimeout(context.Background(), proc.DefaultGrace)
		defer cancel()
		return m.Shutdown(ctx)
	case c != nil:
		c.leave()
	}
	return nil
}

// Handle returns the handle of a part of the manager's segment: see Dict.Handle.
func (m *Manager) Handle() shm.Handle {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.client == nil {
		return shm.Handle{}
	}
	return m.client.door.Handle()
}

// MarshalText encodes a reference to the manager. It fails with ErrClosed.
func (m *Manager) MarshalText() ([]byte, error) {
	c, err := m.use()
	if err != nil {
		return nil, failed("Manager.MarshalText", err)
	}
	defer c.leave()
	ref, err := c.reference()
	if err != nil {
		return nil, failed("Manager.MarshalText", err)
	}
	return ref.text(), nil
}

// UnmarshalText makes this process a user of the manager of a reference that MarshalText made. It
// makes a trip to the manager's process. It fails with shm.ErrHandle or ErrServerDied, or as
// shm.Reach does.
func (m *Manager) UnmarshalText(text []byte) error {
	ref, err := parseReference(text)
	if err == nil && ref.object != 0 {
		err = fmt.Errorf("%w: it is an object of a manager", shm.ErrMismatch)
	}
	if err != nil {
		return failed("Manager.UnmarshalText", err)
	}
	c, err := clientOf(ref)
	if err != nil {
		return failed("Manager.UnmarshalText", err)
	}
	if err := m.Close(); err != nil {
		c.leave()
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.client = c
	return nil
}

// MarshalBinary is MarshalText.
func (m *Manager) MarshalBinary() ([]byte, error) { return m.MarshalText() }

// UnmarshalBinary is UnmarshalText.
func (m *Manager) UnmarshalBinary(data []byte) error { return m.UnmarshalText(data) }
