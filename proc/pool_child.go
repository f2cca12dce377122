package proc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"

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

	mu      sync.Mutex
	arrived sync.Cond // a message with batches has arrived, or the last message
	batches [][]byte  // messages that have arrived, oldest first
	ended   bool      // no other message arrives

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
	s.arrived.L = &s.mu
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
	go s.receive()
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

// next waits for the next message with batches. ok is false if there is none any more.
func (s *server) next() (msg []byte, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.batches) == 0 && !s.ended {
		s.arrived.Wait()
	}
	if len(s.batches) == 0 {
		return nil, false
	}
	msg = s.batches[0]
	s.batches[0] = nil
	s.batches = s.batches[1:]
	return msg, true
}

// add adds a message for next.
func (s *server) add(msg []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches = append(s.batches, msg)
	s.arrived.Signal()
}

// close makes next return false after the messages that have arrived.
func (s *server) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.arrived.Signal()
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

// receive receives messages until the pool has sent the last one, or is gone. It runs beside the
// calls so that a call can be stopped.
func (s *server) receive() {
	defer s.close()
	for {
		msg, err := s.conn.Receive(s.parent)
		if err != nil || len(msg) == 0 || msg[0] == messageQuit {
			return
		}
		switch msg[0] {
		case messageStop:
			if s.stop(msg) != nil {
				return
			}
		case messageOpened:
			s.opened(msg[1:])
		case messageBack:
			if s.giveBack(msg) != nil {
				return
			}
		case messageBatch:
			s.add(msg[1:])
		default:
			return
		}
	}
}

// stop ends the context of the call that runs, if the message says so, and notes which ones are to
// be skipped.
func (s *server) stop(msg []byte) error {
	number, end, err := twoNumbers(msg)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
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

// opened ends this process's use of the objects that the pool has opened.
func (s *server) opened(msg []byte) {
	number, k := binary.Uvarint(msg)
	if k <= 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.given) > 0 && s.given[0].number <= number {
		s.given[0].objects.close()
		s.given = s.given[1:]
	}
}

// giveBack answers messageBack.
func (s *server) giveBack(msg []byte) error {
	from, to, err := twoNumbers(msg)
	if err != nil {
		return err
	}
	s.mu.Lock()
	from = max(from, s.begun)
	for number := from; number < to; number++ {
		s.taken[number] = true
	}
	s.mu.Unlock()
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
