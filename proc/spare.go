package proc

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// A spare is a process that was started ahead. What happens to it, and what a kill at that point
// leaves:
//
//  1. Its parent starts it as any child. Instead of a task the request has a Preload, which may be
//     empty. The spare runs it, says frameParked, and waits for files.
//
//  2. Spares.take removes it from the set: no other start uses it.
//
//  3. The parent claims parties for it, as for any child, and sends it the standard files and
//     those of the parties, then the request.
//
//  4. The spare says frameTaken when it has the files. From then on it is the process that Start
//     was called for.
//
//  5. The parent closes its descriptors of the parties.
//
//     killed after | then
//     1, spare     | the set replaces it
//     2 or 3, spare| it has run nothing: the parent cancels the parties, and takes another spare
//     4, spare     | Join returns the signal, as for any child; the task may have run
//     1 to 5,      | the kernel kills the spare; it drops the locks of the parties with the
//     parent       | descriptors of both
//
// If the spare is stopped between 2 and 4, the parent kills it after patience, and takes another
// one. If the spare says frameTaken before it dies, Start succeeds, and Join returns the signal.
// If the parent is stopped, the spare waits.
type spare struct {
	*link
	dir  string        // its working directory
	used chan struct{} // closed when a start has taken it
}

// patience is how long a parked spare may take to receive its files. It takes microseconds.
const patience = time.Second

// errGone means that a spare has ended before it had its files.
var errGone = errors.New("the spare process has ended")

// startSpare starts a spare, and waits until it is parked.
func startSpare(ctx context.Context, preload Job) (*spare, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	std := standard{files: [3]*os.File{null, null, null}, ours: []*os.File{null}}
	if !isClosed(os.Stderr) {
		std.files[2] = os.Stderr
	}
	r := newRequest(preload.task, "spare", "", preload.input)
	r.park = true
	image := sys.Image{Args: os.Args, Env: os.Environ(), Death: deathOfChild}
	l, err := launch(ctx, image, std, preload.seen, r)
	if err != nil {
		return nil, err
	}
	s := &spare{link: l, dir: dir, used: make(chan struct{})}
	go func() {
		l.AwaitExit()
		close(l.exited)
	}()
	l.await()
	select {
	case <-l.parked:
		return s, nil
	case <-l.exited:
		return nil, s.bury()
	case <-ctx.Done():
		_ = l.Signal(syscall.SIGKILL) // it fails only if the process has ended
		return nil, errors.Join(ctx.Err(), s.bury())
	}
}

// bury waits for the end of s, reaps it, and returns why it has ended.
func (s *spare) bury() error {
	said, connected := s.awaitEnd()
	p := &Process{name: s.request.name}
	err := p.judge(s.link, connected, said).err
	s.close()
	return err
}

// take gives the task of p to s. It returns errGone if s has ended before it had its files.
// Then, and if it returns another error, s is no more, and the task has not run.
func (s *spare) take(ctx context.Context, p *Process, std standard, r request) error {
	granted, err := grantAll(p.seen)
	if err != nil {
		s.end()
		return err
	}
	s.process.Store(p)
	granted.started(s.PID())
	if err := sys.SendFiles(s.control, append(std.files[:], granted.files()...)...); err != nil {
		if sys.IsGone(err) {
			err = errGone
		}
		s.end()
		return errors.Join(err, granted.cancel())
	}
	if crash.Enabled {
		crash.At(crash.SpareSent)
	}
	s.send(&r)
	err = s.awaitTaken(ctx)
	if err != nil {
		s.end()
		return errors.Join(err, granted.cancel())
	}
	if crash.Enabled {
		crash.At(crash.SpareStarted)
	}
	granted.release()
	s.standard = std
	s.standard.started()
	return nil
}

// send sends s the request. It does not block: a long one is sent by another goroutine.
func (s *spare) send(r *request) {
	encoded := r.encode()
	send := func() {
		// An error means that the spare ends without reading all: its Process sees that.
		_ = sendRequest(s.control, encoded, r.input)
	}
	if len(encoded)+len(r.input) <= unread {
		send()
	} else {
		go send()
	}
}

// unread is how many bytes a socket takes, at least, that nobody has read.
const unread = 32 << 10

// awaitTaken waits until s has its files.
func (s *spare) awaitTaken(ctx context.Context) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	failure := errGone
	select {
	case <-s.taken:
		return nil
	case <-s.exited:
	case <-timer.C:
	case <-ctx.Done():
		failure = ctx.Err()
	}
	_ = s.Signal(syscall.SIGKILL) // it fails only if the process has ended
	<-s.exited
	// It may have said so before it died. All that it has said is in the socket.
	if sys.ShutdownRead(s.control) != nil {
		s.control.Close()
	}
	said := <-s.said
	s.said <- said
	select {
	case <-s.taken:
		return nil
	default:
	}
	if err := said.error(s.request.name); err != nil {
		failure = err
	}
	return failure
}

// end kills s and reaps it.
func (s *spare) end() {
	_ = s.Signal(syscall.SIGKILL) // it fails only if the process has ended
	_ = s.bury()                  // how it ended is of no interest
}

// directory returns what Options.Dir means for s: empty if it is where s is.
func (s *spare) directory(dir string) (string, error) {
	here, err := os.Getwd()
	if err != nil {
		return "", err
	}
	switch {
	case dir == "" && here == s.dir:
		return "", nil
	case dir == "":
		return here, nil
	case !filepath.IsAbs(dir):
		return filepath.Join(here, dir), nil
	}
	return dir, nil
}
