package proc

import (
	"bufio"
	"os"

	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// What a child inherits besides its standard files.
const (
	controlFD = 3 + iota // the child's end of the control socket
	crashFD              // where its Go runtime writes the text of a crash
	grantFD              // the first of its segments
)

// A link is a running child and what connects this process to it.
type link struct {
	*sys.Child
	control *os.File
	crash   *os.File
}

// send tells the child what to run. A child that ends before it has read all is
// nothing to report here: supervise sees it.
func (l *link) send(task, name, identity string, input []byte) {
	w := bufio.NewWriter(l.control)
	_ = writeFrame(w, frameTask, []byte(task))
	_ = writeFrame(w, frameName, []byte(name))
	_ = writeFrame(w, frameIdentity, []byte(identity))
	_ = writeFrame(w, frameInput, input)
	_ = w.Flush()
}

func (l *link) close() {
	l.control.Close()
	if l.crash != nil {
		l.crash.Close()
	}
}
