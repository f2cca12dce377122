package proc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/seed-2e7ecdea/mp/ring"
)

// workerInput is the argument of a worker process.
type workerInput struct {
	Conn   *ring.Conn // to the pool
	Init   string     // name of a task that is run first, or ""
	Input  []byte     // its argument
	Inside bool       // it runs in the pool's process
}

var poolWorker = Register("mp/worker", func(ctx context.Context, in workerInput) (None, error) {
	return None{}, serve(ctx, in)
})

// A server runs the calls of one worker process.
type server struct {
	conn *ring.Conn

	task     string   // of the last batch
	function function // of that task
	answer   []byte
	use      func(lease) // notes what is used

	mu        sync.Mutex
	arrived   sync.Cond // the goroutine that runs the calls waits here for the one that watches
	batches   [][]byte  // messages with batches that have arrived, oldest first
	ended     bool      // no other message arrives
	receiving bool      // a goroutine receives messages
	running   bool      // a message's batches are being run
	messages  uint64    // with batches, that were ever begun
	watched   bool      // the goroutine that watches is not asleep at watch
	watch     sync.Cond

	parent context.Context
	ctx    context.Context // of the call that runs
	cancel context.CancelFunc
	number uint64            // of the batch that runs
	call   uint64            // that runs
	begun  uint64            // batches that were begun, or skipped since they were taken back
	stops  map[uint64]uint64 // for a batch, the first call that may run
	taken  map[uint64]bool   // the batches that the pool has taken back
	used   lease             // the objects in the argument of the call that runs
	given  []gift            // objects in results that the pool has not opened yet, oldest first
}

// A gift is the objects in a result of a batch. They stay open until the pool has opened them.
type gift struct {
	number  uint64 // of the batch
	objects lease
}

// serve is the task of a worker process: it runs the calls that the pool sends until the pool says
// that there are no more, or is gone.
func serve(ctx context.Context, in workerInput) error {
	defer in.Conn.Close()
	if !in.Inside {
		signal.Ignore(syscall.SIGINT) // of a terminal: the pool's process decides
	}
	s := &server{conn: in.Conn, parent: ctx, stops: make(map[uint64]uint64), taken: make(map[uint64]bool)}
	s.arrived.L, s.watch.L = &s.mu, &s.mu
	s.ctx, s.cancel = context.WithCancel(ctx)
	s.use = func(l lease) { s.used = l }
	if err := s.init(in); err != nil {
		text, _ := encodeError(err)
		_ = s.conn.Send(ctx, append([]byte{answerError}, text...)) // the pool may be gone
		return err
	}
	if err := s.conn.Send(ctx, []byte{answerReady}); err != nil {
		return err
	}
	go s.standIn()
	defer s.close()
	for {
		msg, ok := s.next()
		if !ok {
			return nil
		}
		for len(msg) > 0 {
			var err error
			if msg, err = s.runBatch(msg); err != nil {
				return err
			}
		}
	}
}

// next returns the next message with batches. It receives messages itself, unless the goroutine that
// stands in for it does. ok is false if there is no such message any more.
func (s *server) next() (msg []byte, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = false
	for len(s.batches) == 0 {
		switch {
		case s.ended:
			return nil, false
		case s.receiving:
			s.arrived.Wait()
		default:
			s.receiving = true
			s.receive()
			s.receiving = false
		}
	}
	msg = s.batches[0]
	s.batches[0] = nil
	s.batches = s.batches[1:]
	s.running = true
	s.messages++
	if !s.watched {
		s.watched = true
		s.watch.Signal()
	}
	return msg, true
}

// standInAfter is how long the batches of a message run before another goroutine receives messages.
const standInAfter = time.Millisecond

// standIn receives messages while a message's batches run for long, so that a call can be stopped and
// what waits behind it can be taken back. While they take less time, one goroutine receives them and
// runs them: a message that wakes a second one takes several times as long. While no messages
// arrive, standIn sleeps.
func (s *server) standIn() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.ended {
		if !s.watched {
			s.watch.Wait()
			continue
		}
		messages := s.messages
		s.mu.Unlock()
		time.Sleep(standInAfter)
		s.mu.Lock()
		switch {
		case s.messages != messages:
		case !s.running:
			s.watched = false
		default:
			s.receiving = true
			for s.running && !s.ended {
				s.receive()
			}
			s.receiving = false
			s.arrived.Signal()
		}
	}
}

// close ends both goroutines: next returns false after the messages that have arrived.
func (s *server) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.watch.Signal()
}

// runBatch runs the calls of the first batch in msg, unless the pool has taken it back, and answers
// them. It returns what follows the batch.
func (s *server) runBatch(msg []byte) (rest []byte, err error) {
	name, n, rest, err := parseBatch(msg)
	if err != nil {
		return nil, err
	}
	if string(name) != s.task {
		s.task, s.function = string(name), findTask(string(name))
	}
	taken := !s.beginBatch()
	for range n {
		var argument []byte
		if argument, rest, err = cutCall(rest); err != nil {
			return nil, err
		}
		if taken {
			continue
		}
		s.answer = s.run(s.answer[:0], argument)
		if err := s.conn.Send(s.parent, s.answer); err != nil {
			return nil, err
		}
		if cap(s.answer) > workerRing {
			s.answer = nil
		}
	}
	return rest, nil
}

func (s *server) init(in workerInput) (err error) {
	if in.Init == "" {
		return nil
	}
	run := findTask(in.Init)
	if run == nil {
		return fmt.Errorf("task %q: %w", in.Init, ErrUnknownTask)
	}
	_, err = run(s.parent, nil, in.Input, nil) // what it opens stays open
	return err
}

// receive receives one message, and does or notes what it says. If the pool is gone or has sent the
// last message, it sets ended. The caller holds mu, which is released meanwhile.
func (s *server) receive() {
	s.mu.Unlock()
	msg, err := s.conn.Receive(s.parent)
	s.mu.Lock()
	switch {
	case err != nil || len(msg) == 0:
	case msg[0] == messageStop:
		err = s.stop(msg)
	case msg[0] == messageOpened:
		s.opened(msg[1:])
	case msg[0] == messageBack:
		err = s.giveBack(msg)
	case msg[0] == messageBatch:
		s.batches = append(s.batches, msg[1:])
	default: // messageQuit, or malformed
		err = io.EOF
	}
	if err != nil || len(msg) == 0 {
		s.ended = true
		s.watch.Signal()
	}
}

// stop ends the context of the call that runs, if the message says so, and notes which ones are to
// be skipped. The caller holds mu.
func (s *server) stop(msg []byte) error {
	number, end, err := twoNumbers(msg)
	if err != nil {
		return err
	}
	if number < s.number {
		return nil // answered
	}
	s.stops[number] = max(end, s.stops[number])
	if number == s.number && s.call < end {
		s.cancel()
	}
	return nil
}

// begin makes ready for the next call, and returns its context.
func (s *server) begin() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		s.ctx, s.cancel = context.WithCancel(s.parent)
	}
	if s.call < s.stops[s.number] {
		s.cancel()
	}
	return s.ctx
}

func (s *server) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.call++
}

// beginBatch makes ready for the next batch. It reports false if the pool has taken it back.
func (s *server) beginBatch() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.stops, s.number)
	s.number, s.call = s.begun, 0
	s.begun++
	if s.taken[s.number] {
		delete(s.taken, s.number)
		return false
	}
	return true
}

// opened ends this process's use of the objects that the pool has opened. The caller holds mu.
func (s *server) opened(msg []byte) {
	number, k := binary.Uvarint(msg)
	if k <= 0 {
		return
	}
	for len(s.given) > 0 && s.given[0].number <= number {
		s.given[0].objects.close()
		s.given = s.given[1:]
	}
}

// giveBack answers messageBack. The caller holds mu, which is released meanwhile.
func (s *server) giveBack(msg []byte) error {
	from, to, err := twoNumbers(msg)
	if err != nil {
		return err
	}
	from = max(from, s.begun)
	for number := from; number < to; number++ {
		s.taken[number] = true
	}
	s.mu.Unlock()
	defer s.mu.Lock()
	return s.conn.Send(s.parent, appendTwo(answerBack, from, to))
}

// run runs one call of the last batch and appends its answer to dst.
func (s *server) run(dst []byte, argument []byte) (answer []byte) {
	ctx := s.begin()
	defer s.end()
	if err := ctx.Err(); err != nil {
		return appendError(dst, err)
	}
	if s.function == nil {
		return appendError(dst, fmt.Errorf("task %q: %w", s.task, ErrUnknownTask))
	}
	s.used = nil
	returned := false
	defer func() {
		if returned {
			return
		}
		s.used.close()
		v := recover()
		if v == nil {
			dst = appendError(dst, errors.New("task called runtime.Goexit, which ends its worker"))
			dst[0] = answerLast
			_ = s.conn.Send(s.parent, dst) // the pool may be gone; nothing follows here
			return
		}
		text, err := encodePanic(v, debug.Stack())
		if err != nil {
			answer = appendError(dst, err)
			return
		}
		answer = append(append(dst, answerPanic), text...)
	}()
	made, err := s.function(ctx, append(dst, answerResult), argument, s.use)
	returned = true
	if err != nil {
		s.used.close()
		return appendError(dst, err)
	}
	if !made.shared {
		s.used.close()
		return made.result
	}
	s.mu.Lock()
	s.given = append(s.given, gift{s.number, append(s.used, made.lease...)})
	s.mu.Unlock()
	made.result[len(dst)] = answerObjects
	return made.result
}

func appendError(dst []byte, err error) []byte {
	text, err := encodeError(err)
	if err != nil {
		text = nil // decodeError says that it can't be decoded
	}
	return append(append(dst, answerError), text...)
}
