package bench

import (
	"errors"
	"io"
	"os"
)

// A medium is a transport as the process that started the run has it.
type medium struct {
	// in and out are the standard input and output of a process that plays a
	// part.
	in, out map[part]*os.File
	// ends are held only until all processes have them, so that the last who
	// closes one ends the other.
	ends []io.Closer
	// shutdown says that nothing more is sent, where the end of the producers
	// does not.
	shutdown func() error
}

// release gives up the ends.
func (m *medium) release() error {
	var err error
	for _, e := range m.ends {
		err = errors.Join(err, e.Close())
	}
	m.ends = nil
	return err
}
