package proc

import (
	"context"
	"errors"
	"os"
	"runtime"

	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// A starter is the way to the goroutine that starts all children. It keeps its OS
// thread until this process ends, since the kernel kills a child when the thread
// that started it ends (golang/go#27505).
type starter struct {
	turn     chan struct{} // holds a value while a goroutine uses the rest
	listener *sys.Listener // at which the children find this process; nil if the rest is not made yet
	conn     *os.File      // to the thread: see sys.Starter
	private  bool
	work     chan func(*sys.Starter)
}

// theStarter is this process's.
var theStarter = starter{turn: make(chan struct{}, 1)}

// start starts a process with the three standard files. ctx bounds the wait for other starts.
func (s *starter) start(ctx context.Context, i sys.Image, files [3]*os.File) (*sys.Child, error) {
	return s.launch(ctx, i, files[:])
}

// launch starts a process with these files as its first descriptors.
func (s *starter) launch(ctx context.Context, i sys.Image, files []*os.File) (*sys.Child, error) {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-s.turn }()
	if err := s.open(); err != nil {
		return nil, err
	}
	if s.private {
		if err := sys.SendFiles(s.conn, files...); err != nil {
			return nil, err
		}
	}
	var birth sys.Birth
	var err error
	done := make(chan struct{})
	s.work <- func(thread *sys.Starter) {
		defer close(done)
		birth, err = thread.Start(i, files)
	}
	<-done
	if err != nil {
		return nil, i.Explain(err)
	}
	return sys.NewChild(birth, s.conn), nil
}

// open makes the thread and the listener unless they exist, and refreshes the credentials that the listener shows.
func (s *starter) open() error {
	if s.listener == nil {
		conn, theirs, err := sys.ControlPair() // this puts the netpoller to use, before the thread looks for it
		if err != nil {
			return err
		}
		defer theirs.Close()
		begun := make(chan begin)
		s.work = make(chan func(*sys.Starter))
		go s.run(theirs, begun)
		b := <-begun
		if b.err != nil {
			return errors.Join(b.err, conn.Close())
		}
		s.listener, s.conn, s.private = b.listener, conn, b.private
		go meeting.serve(s.listener)
	}
	return s.listener.Refresh()
}

// A begin is what run has made, or why it could not.
type begin struct {
	listener *sys.Listener
	private  bool
	err      error
}

// run starts children on a thread of its own, which is not the main one.
func (s *starter) run(conn *os.File, begun chan<- begin) {
	runtime.LockOSThread()
	if sys.OnMainThread() {
		// While this goroutine has the main thread the next one has another.
		next := make(chan begin)
		go s.run(conn, next)
		b := <-next
		runtime.UnlockOSThread()
		begun <- b
		return
	}
	// On this thread, since the children are in its network namespace.
	listener, err := sys.ListenForChildren()
	if err != nil {
		runtime.UnlockOSThread()
		begun <- begin{err: err}
		return
	}
	thread := sys.NewStarter(conn)
	begun <- begin{listener: listener, private: thread.Private()}
	for f := range s.work {
		f(thread)
	}
}
