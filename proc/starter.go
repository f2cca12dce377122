package proc

import (
	"context"
	"os"
	"runtime"
	"sync"

	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// A starter is the way to the goroutine that starts all children. It keeps its OS
// thread until this process ends, since the kernel kills a child when the thread
// that started it ends (golang/go#27505).
type starter struct {
	turn    chan struct{} // has a value while nobody uses the rest
	to      *os.File      // by which a private thread gets files
	private bool
	work    chan func(*sys.Starter)
}

// theStarter returns the starter of this process, or why there is none.
var theStarter = sync.OnceValues(func() (*starter, error) {
	to, from, err := sys.ControlPair()
	if err != nil {
		return nil, err
	}
	defer from.Close()
	s := &starter{turn: make(chan struct{}, 1), to: to, work: make(chan func(*sys.Starter))}
	ready := make(chan bool)
	go s.run(from, ready)
	s.private = <-ready
	s.turn <- struct{}{}
	return s, nil
})

// run starts children on a thread of its own, which is not the main one.
func (s *starter) run(from *os.File, ready chan<- bool) {
	runtime.LockOSThread()
	if sys.OnMainThread() {
		// While this goroutine has the main thread the next one has another.
		begun := make(chan bool)
		go s.run(from, begun)
		private := <-begun
		runtime.UnlockOSThread()
		ready <- private
		return
	}
	thread := sys.NewStarter(from)
	ready <- thread.Private()
	for f := range s.work {
		f(thread)
	}
}

// start starts a process and returns its pid.
func (s *starter) start(ctx context.Context, argv, env []string, dir string, files [3]*os.File) (pid int, err error) {
	select {
	case <-s.turn:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	defer func() { s.turn <- struct{}{} }()
	if s.private {
		if err := sys.SendFiles(s.to, files[:]...); err != nil {
			return 0, err
		}
	}
	done := make(chan struct{})
	s.work <- func(thread *sys.Starter) {
		defer close(done)
		pid, err = thread.Start(argv, env, dir, files)
	}
	<-done
	return pid, err
}
