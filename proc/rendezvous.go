package proc

import (
	"errors"
	"os"
	"sync"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// A rendezvous is the parent's side of the protocol by which a child gets its files and
// its request. A child inherits descriptors 0, 1 and 2 alone, and no variable says that it
// is a child. So the packages that are initialized before Init, and the programs that they
// start, get nothing that belongs to the child. The protocol:
//
//  1. The parent listens at a name that its children can compute from its process id.
//  2. The parent starts the child, and awaits its process id.
//  3. In Init the child connects. The kernel tells the child that the listener is
//     its parent, and the parent which process has connected.
//  4. The parent takes the connection if it awaits that process, and refuses it
//     otherwise. While a start is under way, the parent holds a connection of an unknown
//     process until that start is done. It takes each process only once.
//  5. The parent sends the files and the request over the connection (see wire.go),
//     and only then closes its descriptors of the child's parties.
//
// A process that does not find its parent listening, or is refused, is an ordinary
// program. So is a process whose parent dies before it has answered, unless the kernel
// kills the process with its parent.
//
//	killed after           | then
//	1, parent              | there is no child
//	2 to 5, parent         | the kernel drops the parent's locks and kills the child
//	2, before its pid is   | the same; parties whose peers do not know the pid are found
//	published, parent      | dead by the scan, within a second
//	2 or 3, child          | the parent sees the child's end, and ends its parties
//	4, child               | sending fails, and the same
//	5, child               | the kernel drops the locks with the child's descriptors
//
// While the parent is stopped, the child and any other program of mp that the parent has
// started wait in Init.
type rendezvous struct {
	mu       sync.Mutex
	starting int           // starts under way, whose child is not awaited yet
	awaited  map[int]*link // by process id: the children that have not connected
	held     []visitor     // connected, and not known yet
}

// A visitor is a process that has connected.
type visitor struct {
	conn *os.File
	pid  int
}

// meeting is the rendezvous of this process and its children.
var meeting = rendezvous{awaited: make(map[int]*link)}

// expect says that a start begins. started must follow.
func (r *rendezvous) expect() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.starting++
}

// started ends a start. l is the child, or nil if the start has failed.
func (r *rendezvous) started(l *link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.starting--
	if l != nil {
		r.awaited[l.PID()] = l
	}
	held := r.held
	r.held = nil
	for _, v := range held {
		r.receive(v)
	}
}

// forget stops awaiting l, whose process id the kernel may give to another process from
// then on. It reports whether the child has connected.
func (r *rendezvous) forget(l *link) (connected bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.awaited[l.PID()] == l {
		delete(r.awaited, l.PID())
	}
	return l.control != nil
}

// serve receives all that connect, for as long as this process lives.
func (r *rendezvous) serve(listener *sys.Listener) {
	for {
		conn, pid, err := listener.Accept()
		if err != nil {
			// This process has too many files open: the child waits until there is
			// a descriptor for it.
			time.Sleep(time.Millisecond)
			continue
		}
		r.mu.Lock()
		r.receive(visitor{conn, pid})
		r.mu.Unlock()
	}
}

// receive takes v, holds it, or refuses it. r.mu is held.
func (r *rendezvous) receive(v visitor) {
	l := r.awaited[v.pid]
	switch {
	// If the child has ended, another process may have got its id.
	case l != nil && !l.Ended():
		delete(r.awaited, v.pid)
		l.control = v.conn
		go l.converse()
	case l == nil && r.starting > 0:
		r.held = append(r.held, v)
	default:
		_ = sys.Refuse(v.conn) // an error means that it is gone
		v.conn.Close()
	}
}

// connect connects to the parent of this process. It returns nil if this process is
// not a child of proc, otherwise what its parent has sent.
func connect() *heritage {
	dying := deathSignal == deathOfChild || deathSignal == deathOfLingering
	conn := sys.ConnectToParent(dying)
	if conn == nil {
		return nil
	}
	if crash.Enabled {
		crash.At(crash.InitConnected)
	}
	files, err := sys.ReceiveFiles(conn)
	switch {
	case err == nil && len(files) > 0:
		return &heritage{control: conn, crash: files[0], grants: files[1:]}
	case errors.Is(err, sys.ErrRefused):
		conn.Close()
		return nil
	case sys.IsGone(err):
		conn.Close()
		if dying {
			os.Exit(1) // the parent is dead, and the kernel is about to kill this process
		}
		return nil
	}
	return &heritage{control: conn, err: err}
}
