package bench

import (
	"errors"
	"io"
	"os"
)

// A link is the transport of one run, as the process that called Run holds it.
type link struct {
	// in and out are the standard input and output of the process that has a role.
	in, out map[role]*os.File
	// ends are closed here as soon as all processes hold theirs. From then on, the
	// last process that closes one end causes the end of file at the other.
	ends []io.Closer
	// shutdown ends the messages, for a transport that does not end when its producers
	// do. nil if there is no need.
	shutdown func() error
}

// release closes the ends.
func (l *link) release() error {
	var err error
	for _, e := range l.ends {
		err = errors.Join(err, e.Close())
	}
	l.ends = nil
	return err
}
