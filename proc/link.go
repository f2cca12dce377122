package proc

import (
	"bufio"
	"os"

	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// A link is a running child and what connects this process to it.
type link struct {
	*sys.Child
	crash    *os.File // where the child's Go runtime writes the text of a crash
	granted  grants
	reported chan struct{} // closed when the child has reported, and control is set
	control  *os.File
}

// A request is what a child is to do.
type request struct {
	task, name, identity string
	input                []byte
}

// handOver gives the child, which has reported, its files.
func (l *link) handOver() error {
	defer l.granted.close()
	return sys.SendFiles(l.control, append([]*os.File{l.crash}, l.granted.files()...)...)
}

// send tells the child what to run. A child that ends before it has read all is
// nothing to report here: supervise sees it.
func (l *link) send(r request) {
	w := bufio.NewWriter(l.control)
	_ = writeFrame(w, frameTask, []byte(r.task))
	_ = writeFrame(w, frameName, []byte(r.name))
	_ = writeFrame(w, frameIdentity, []byte(r.identity))
	_ = writeFrame(w, frameInput, r.input)
	_ = w.Flush()
}
