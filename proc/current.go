package proc

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// A Current is this process, as Self returns it.
type Current struct {
	name, identity string
	daemon         bool
	method         Method
}

// mainName is the name of a process that is not a child.
const mainName = "main"

// self is this process. Init changes it in a child, before the task runs.
var self atomic.Pointer[Current]

func init() { self.Store(&Current{name: mainName}) }

// Self returns this process. A task that runs in-process is part of the process that has started
// it.
func Self() *Current { return self.Load() }

// Name returns the name that the parent gave this process, or "main" if it is not a child.
func (c *Current) Name() string { return c.name }

// PID returns the process id.
func (c *Current) PID() int { return os.Getpid() }

// Daemon reports whether the parent started this process as a daemon: see Options.
func (c *Current) Daemon() bool { return c.daemon }

// Method returns how this process was started: Spawn or Warm.
func (c *Current) Method() Method { return c.method }

// String returns the name.
func (c *Current) String() string { return c.name }

// A ParentProcess is the process that has started this one.
type ParentProcess struct {
	name string
	pid  int
	done chan struct{}
}

// parent is the parent of this process if it is a child.
var parent atomic.Pointer[ParentProcess]

// Parent returns the process that has started this one by a task, nil if this process is not a
// child.
func Parent() *ParentProcess { return parent.Load() }

// Name returns the parent's name.
func (p *ParentProcess) Name() string { return p.name }

// PID returns the parent's process id. When the parent has ended, the kernel may give it to
// another process.
func (p *ParentProcess) PID() int { return p.pid }

// Done returns a channel that is closed when the parent has ended. Unless the process was started
// with a Linger, the kernel kills it at that moment.
func (p *ParentProcess) Done() <-chan struct{} { return p.done }

// Alive reports whether the parent has not ended.
func (p *ParentProcess) Alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Join waits until the parent has ended, and returns nil, or until ctx is done, and returns its
// error. It tries once even if ctx is done.
func (p *ParentProcess) Join(ctx context.Context) error {
	if !p.Alive() {
		return nil
	}
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("proc: Join of the parent %q: %w", p.name, ctx.Err())
	}
}

// inherit makes this process the child that r describes.
func inherit(r *request) {
	self.Store(&Current{name: r.name, identity: r.identity, daemon: r.daemon, method: r.method})
	if parent.Load() == nil {
		parent.Store(&ParentProcess{name: r.parentName, pid: r.parentPID, done: make(chan struct{})})
		authKey.once.Do(func() { authKey.key = r.authKey })
	}
}

// authKey is the program's key.
var authKey struct {
	once sync.Once
	key  []byte
}

// AuthKey returns a secret of 32 bytes that all processes of the program share. The main process
// chooses it at random, and children inherit it. Processes of one program can show each other by it
// that they belong together, over a socket for example. The slice is the caller's.
func AuthKey() []byte {
	authKey.once.Do(func() {
		authKey.key = make([]byte, 32)
		rand.Read(authKey.key) // it never fails
	})
	return slices.Clone(authKey.key)
}

// CPUCount returns how many CPUs this process may keep busy: the number of CPUs of its affinity
// mask, or its cgroup's quota if that is smaller (at least two then, if the mask has two), or the
// environment variable GOMAXPROCS if it is set.
func CPUCount() int { return runtime.GOMAXPROCS(0) }
