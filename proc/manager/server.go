package manager

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// A server is the process that holds the objects of a manager.
//
//  1. Before anything else it acquires alive, and it never releases that. So a process that waits
//     at the door learns of the server's death by ErrOwnerDied.
//  2. It makes pipes, and puts one end of each into the door. It holds that end as well, so that
//     the end exists whatever becomes of the processes that take it.
//  3. A client takes an end under a lease, sends opHello, and receives the answer. Then it ends the
//     lease. If it dies before, the end comes back, and the next client uses it.
//  4. When the first request arrives, the server closes the end that it holds. From then on, the
//     client's death is the end of the pipe, and ends the session. If the client died between 3 and
//     4, the next client finds an end that does not exist, and takes another one, or it takes the
//     session over, in which the dead client had done nothing.
type server struct {
	table     *table
	reference reference // to the manager

	freed chan struct{} // gets a value when a session has ended

	mu       sync.Mutex
	sessions int
}

// doorCapacity is how many ends wait for clients. As many clients may be stopped between taking an
// end and opHello before they hold up others.
const doorCapacity = 16

// A serverJob is the argument of the server's process.
type serverJob struct {
	ID      uint64
	Door    *ring.Queue[shm.Handle]
	Alive   *psync.Lock
	Passage time.Duration

	MaxRepeat int
}

var serverTask = proc.Register("mp: manager", serve)

func serve(ctx context.Context, j serverJob) (none proc.None, err error) {
	signal.Ignore(os.Interrupt) // Ctrl-C is for the program, which ends its manager when it has ended its work
	if err := j.Alive.Acquire(ctx); err != nil {
		return none, err
	}
	seg, err := shm.Reach(j.Door.Handle())
	if err != nil {
		return none, err
	}
	door, err := j.Door.MarshalText()
	if err != nil {
		return none, err
	}
	alive, err := j.Alive.MarshalText()
	if err != nil {
		return none, err
	}
	s := &server{
		table: newTable(j.ID, j.MaxRepeat), freed: make(chan struct{}, 1),
		reference: reference{manager: j.ID, door: string(door), alive: string(alive)},
	}
	go s.expire(ctx, j.Passage)
	for {
		err := s.open(ctx, seg, j.Door)
		if errors.Is(err, shm.ErrNoSpace) {
			s.awaitSpace(ctx)
			err = nil
		}
		if ctx.Err() != nil {
			return none, nil
		}
		if err != nil {
			return none, err
		}
	}
}

// open puts the end of one more pipe into the door. It blocks while the door is full.
func (s *server) open(ctx context.Context, seg *shm.Segment, door *ring.Queue[shm.Handle]) error {
	mine, theirs, err := ring.NewPipe(seg, "", nil)
	if err != nil {
		return err
	}
	if err := door.Put(ctx, theirs.Handle()); err != nil {
		return errors.Join(err, mine.Close(), theirs.Close())
	}
	go func() {
		defer s.free(mine)
		first, err := mine.Receive(ctx)
		_ = theirs.Close() // see 4
		if err == nil {
			s.serveLink(ctx, mine, first)
		}
	}()
	return nil
}

// free gives a pipe's space back.
func (s *server) free(c *ring.Conn) {
	_ = c.Close()
	select {
	case s.freed <- struct{}{}:
	default:
	}
}

// awaitSpace waits until there may be space for one more pipe: when a session has ended, or after a
// while, since the program's own objects take space, too.
func (s *server) awaitSpace(ctx context.Context) {
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case <-s.freed:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// expire ends passages that take too long, until ctx is done.
func (s *server) expire(ctx context.Context, limit time.Duration) {
	tick := time.NewTicker(limit / 4)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			s.table.expire(now.Add(-limit))
		case <-ctx.Done():
			return
		}
	}
}

// count adds n to the number of sessions.
func (s *server) count(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions += n
}

func (s *server) stats() (objects, sessions uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return uint64(s.table.size()), uint64(s.sessions)
}
