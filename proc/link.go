package proc

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// A link is a running child and what connects this process to it.
type link struct {
	*sys.Child
	request  request
	standard standard
	granted  grants
	crash    *os.File // where the child's Go runtime writes the text of a crash

	process atomic.Pointer[Process] // nil of a spare that has no task
	parked  chan struct{}           // of a spare: closed when it waits for a task
	taken   chan struct{}           // of a spare: closed when it has the files of a task
	exited  chan struct{}           // of a spare: closed when it has ended; nil otherwise

	control    *os.File    // once the child has connected; meeting.mu guards it until then
	handedOver bool        // the child has its files; set before said
	said       chan report // from converse: one, if the child has connected
}

// launch starts a child that will carry out r. The child does nothing before it has connected.
func launch(ctx context.Context, i sys.Image, std standard, seen []sighting, r request) (_ *link, err error) {
	l := &link{request: r, standard: std, said: make(chan report, 1)}
	defer func() {
		if err != nil {
			l.standard.abandon()
			l.close()
		}
	}()
	if l.crash, err = sys.CrashFile(); err != nil {
		return nil, err
	}
	if l.granted, err = grantAll(seen); err != nil {
		return nil, err
	}
	if r.park {
		l.parked, l.taken, l.exited = make(chan struct{}), make(chan struct{}), make(chan struct{})
	}
	meeting.expect()
	if l.Child, err = theStarter.start(ctx, i, l.standard.files); err != nil {
		meeting.started(nil)
		return nil, err
	}
	if crash.Enabled {
		crash.At(crash.StartBorn)
	}
	l.standard.started()
	// The segments know the child before it has anything of them.
	l.granted.started(l.PID())
	return l, nil
}

// await begins to await the child, so that it gets what is its own when it connects.
func (l *link) await() {
	meeting.started(l)
	if crash.Enabled {
		crash.At(crash.StartAwaited)
	}
}

// converse hands the child all that is its own, and listens to it until it ends.
func (l *link) converse() {
	if err := l.handOver(); err != nil {
		var said report
		if sys.IsGone(err) {
			said = l.listen() // it may have said why it takes no more files
		} else {
			said.err = fmt.Errorf("it was killed, since it could not be sent its files: %w", err)
		}
		if said.kind == 0 {
			_ = l.Signal(syscall.SIGKILL) // it waits for the files
		}
		l.said <- said
		return
	}
	go func() {
		// An error means that the child ends without reading all: supervise sees that.
		_ = l.request.send(l.control)
		l.request.input = nil // it may be large
	}()
	l.said <- l.listen()
}

// listen reads what the child says until the end of the socket.
func (l *link) listen() (said report) {
	in := bufio.NewReader(l.control)
	for {
		kind, payload, err := readFrame(in)
		if err != nil {
			return said // the end, or a frame that a killed child left unfinished
		}
		switch kind {
		case frameParked:
			close(l.parked)
		case frameTaken:
			close(l.taken)
		case frameResult, frameShared:
			said.result, said.returned = payload, true
			if kind == frameShared {
				l.process.Load().keepResult(payload)
				_ = tell(l.control, frameKept, nil) // an error means that the child has ended
			}
		case frameError, framePanic:
			said.kind, said.failure = kind, payload
		}
	}
}

// handOver sends the child its files, and closes this process's descriptors of its parties.
func (l *link) handOver() error {
	if crash.Enabled {
		crash.At(crash.StartAccepted)
	}
	files := append([]*os.File{l.crash}, l.granted.files()...)
	if err := sys.SendFiles(l.control, files...); err != nil {
		return err
	}
	if crash.Enabled {
		crash.At(crash.StartSent)
	}
	l.handedOver = true
	l.granted.release()
	if crash.Enabled {
		crash.At(crash.StartReleased)
	}
	return nil
}

// awaitEnd waits until the child has ended, and returns what it said, and whether it had connected.
func (l *link) awaitEnd() (said report, connected bool) {
	if l.exited != nil {
		<-l.exited
	} else {
		l.AwaitExit()
	}
	if connected = meeting.forget(l); connected {
		// All that the child wrote is in the socket by now. Should another process
		// still hold its end, the shutdown is what ends converse.
		if sys.ShutdownRead(l.control) != nil {
			l.control.Close()
		}
		said = <-l.said
	}
	return said, connected
}

// close gives back what this process holds for a child that has ended, or was not started.
func (l *link) close() {
	if !l.handedOver {
		_ = l.granted.cancel() // the parties are dead, even if closing their files fails
	}
	if l.crash != nil {
		l.crash.Close()
	}
	if l.control != nil {
		l.control.Close()
	}
}
