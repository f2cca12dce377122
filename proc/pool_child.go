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
	conn    *ring.Conn
	batches chan []byte

	mu     sync.Mutex
	parent context.Context
	ctx    context.Context // of the call that runs
	cancel context.CancelFunc
	number uint64            // of the batch that runs
	call   uint64            // that runs
	begun  uint64            // batches that were begun, or taken back
	stops  map[uint64]uint64 // for a batch, the first call that may run
	taken  map[uint64]bool   // the batches that the pool has taken back
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
	s := &server{conn: in.Conn, batches: make(chan []byte, maxWindow), parent: ctx, stops: make(map[uint64]uint64), taken: make(map[uint64]bool)}
	s.ctx, s.cancel = context.WithCancel(ctx)
	if err := s.init(in); err != nil {
		text, _ := encodeError(err)
		_ = s.conn.Send(ctx, append([]byte{answerError}, text...)) // the pool may be gone
		return err
	}
	if err := s.conn.Send(ctx, []byte{answerReady}); err != nil {
		return err
	}
	go s.receive()
	var answer []byte
	for msg := range s.batches {
		if !s.beginBatch() {
			continue
		}
		task, n, data, err := parseBatch(msg)
		if err != nil {
			return err
		}
		run := findTask(task)
		for range n {
			var argument []byte
			if argument, data, err = cutCall(data); err != nil {
				return err
			}
			answer = s.run(answer[:0], run, task, argument)
			if err := s.conn.Send(ctx, answer); err != nil {
				return err
			}
		}
		if cap(answer) > workerRing {
			answer = nil
		}
	}
	return nil
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
	defer close(s.batches)
	for {
		msg, err := s.conn.Receive(s.parent)
		if err != nil || len(msg) == 0 || msg[0] == messageQuit {
			return
		}
		switch msg[0] {
		case messageStop:
			s.stop(msg[1:])
		case messageOpened:
			s.opened(msg[1:])
		case messageBack:
			if s.giveBack(msg[1:]) != nil {
				return
			}
		default:
			s.batches <- msg
		}
	}
}

// stop ends the context of the call that runs, if the message says so, and notes which ones are to
// be skipped.
func (s *server) stop(msg []byte) {
	number, k := binary.Uvarint(msg)
	if k <= 0 {
		return
	}
	end, k2 := binary.Uvarint(msg[k:])
	if k2 <= 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if number < s.number {
		return // answered
	}
	s.stops[number] = max(end, s.stops[number])
	if number == s.number && s.call < end {
		s.cancel()
	}
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
	number, k := binary.Uvarint(msg)
	if k <= 0 {
		return errMessage
	}
	answer := append([]byte{answerBack}, msg[:k]...)
	s.mu.Lock()
	if number >= s.begun {
		s.taken[number] = true
		answer = append(answer, 1)
	} else {
		answer = append(answer, 0)
	}
	s.mu.Unlock()
	return s.conn.Send(s.parent, answer)
}

// run runs one call and appends its answer to dst.
func (s *server) run(dst []byte, run function, task string, argument []byte) (answer []byte) {
	ctx := s.begin()
	defer s.end()
	if err := ctx.Err(); err != nil {
		return appendError(dst, err)
	}
	if run == nil {
		return appendError(dst, fmt.Errorf("task %q: %w", task, ErrUnknownTask))
	}
	returned := false
	defer func() {
		if returned {
			return
		}
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
	var used lease // the objects in the argument
	made, err := run(ctx, append(dst, answerResult), argument, func(l lease) { used = l })
	returned = true
	if err != nil {
		used.close()
		return appendError(dst, err)
	}
	if !made.shared {
		used.close()
		return made.result
	}
	s.mu.Lock()
	s.given = append(s.given, gift{s.number, append(used, made.lease...)})
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
