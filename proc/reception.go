package proc

import (
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// A child inherits nothing of mp, neither a descriptor nor a variable: until its main function calls Init,
// packages are initialized that know nothing of mp and start programs of their own. Init reports to the parent:
//
//  1. The parent listens at an abstract socket whose name is made of its pid.
//  2. Init connects to the socket of its parent, if there is one, and checks that its parent is who listens.
//  3. The parent checks that the peer is a child that it has started and that has not reported. Otherwise it closes
//     the connection, and Init knows that this process is none of mp's children.
//  4. The parent sends the files that the child needs: the one for the text of a crash, and those of the
//     segments in which it claimed a party for the child. Until then it keeps them open, so that the parties live.
//  5. The connection is the control socket from then on: see frame.
//
// A child killed before step 3 has not reported: the parent gives the parties up when it sees the child's end. A child
// killed after it is as dead as any. If the parent is killed, the kernel kills the child.
const receptionTries = 4 // somebody may have taken the first names

func receptionName(pid, try int) string { return fmt.Sprintf("mp-proc-%d-%d", pid, try) }

// reception is this process's side of it.
var reception struct {
	// mu is held while a child is started, too, so that one that reports at once is known.
	mu       sync.Mutex
	open     bool
	expected map[int]*link // children that have not reported, by pid
}

// openReception makes children find this process. It is called with reception.mu held.
func openReception() error {
	if reception.open {
		return nil
	}
	for try := range receptionTries {
		listener, err := sys.Listen(receptionName(os.Getpid(), try))
		if err == nil {
			reception.open, reception.expected = true, make(map[int]*link)
			go receive(listener)
			return nil
		}
		if !sys.IsInUse(err) || try == receptionTries-1 {
			return fmt.Errorf("socket for children to report to: %w", err)
		}
	}
	return nil
}

// receive accepts the children's connections for as long as this process lives.
func receive(listener *os.File) {
	for {
		conn, pid, err := sys.Accept(listener)
		if err != nil {
			time.Sleep(10 * time.Millisecond) // too many open files: nothing tells when there are fewer
			continue
		}
		reception.mu.Lock()
		l := reception.expected[pid]
		delete(reception.expected, pid)
		reception.mu.Unlock()
		if l == nil {
			conn.Close()
			continue
		}
		l.control = conn
		close(l.reported)
	}
}

// forget says that l's child has ended, and reports whether it had not reported.
func forget(l *link) bool {
	reception.mu.Lock()
	defer reception.mu.Unlock()
	_, ok := reception.expected[l.PID()]
	delete(reception.expected, l.PID())
	return ok
}

// inherit returns what this process gets from its parent, nil if it is no child of mp.
func inherit() *heritage {
	parent := os.Getppid()
	for try := range receptionTries {
		control := sys.Connect(receptionName(parent, try), parent)
		if control == nil {
			continue
		}
		files, err := sys.ReceiveFiles(control)
		switch {
		case err == nil && len(files) > 0:
			return &heritage{control: control, crash: files[0], grants: files[1:]}
		case sys.IsRefusal(err):
			control.Close()
			return nil
		}
		return &heritage{control: control, err: err}
	}
	return nil
}
