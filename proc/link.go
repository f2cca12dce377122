package proc

import (
	"fmt"
	"os"
	"syscall"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// A link is a running child and what connects this process to it.
type link struct {
	*sys.Child
	request request
	granted grants
	crash   *os.File // where the child's Go runtime writes the text of a crash

	control    *os.File    // once the child has connected; meeting.mu guards it until then
	handedOver bool        // the child has its files; set before said
	said       chan report // from converse: one, if the child has connected
}

// converse hands the child all that is its own, and listens to it until it ends.
func (l *link) converse() {
	if err := l.handOver(); err != nil {
		var r report
		if !sys.IsGone(err) {
			r.err = failed("Join", l.request.name, fmt.Errorf("it was killed, since it could not be sent its files: %w", err))
		}
		_ = l.Signal(syscall.SIGKILL) // it waits for the files
		l.said <- r
		return
	}
	name := l.request.name
	go func() {
		// An error means that the child ends without reading all: supervise sees that.
		_ = l.request.send(l.control)
		l.request = request{} // the input may be large
	}()
	l.said <- readReport(l.control, name)
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
