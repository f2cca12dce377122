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

	"github.com/seed-2e7ecdea/mp/internal/wait"
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

	// These belong to the goroutine that runs the calls.
	task     string   // of the last batch
	function function // of that task
	rest     []byte   // what follows the calls of the batch that were begun
	left     int      // calls of the batch that were not begun
	answer   []byte
	use      func(lease)   // notes what is used
	inside   bool          // the task runs
	told     time.Duration // when it last woke the pool, by wait.Now
	quiet    bool          // an answer need not wake the pool

	mu        sync.Mutex
	answers   outlet
	arrived   sync.Cond // the goroutine that runs the calls waits here for the one that watches
	batches   [][]byte  // messages with batches that have arrived, oldest first
	spare     []byte    // memory for the next message; nil: none
	ended     bool      // no other message arrives
	receiving bool      // a goroutine receives messages
	running   bool      // a message's batches are being run
	slow      bool      // the goroutine that stands in receives: see isDue, and each batch must wake the pool
	messages  uint64    // with batches, that were ever begun
	watched   bool      // the goroutine that watches is not asleep at watch
	watch     sync.Cond

	parent context.Context
	ctx    context.Context // of the call that runs
	cancel context.CancelFunc
	number uint64            // of the batch that runs
	call   uint64            // that runs, or will run next
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
	s := &server{conn: in.Conn, answers: outlet{conn: in.Conn}, parent: ctx, stops: make(map[uint64]uint64), taken: make(map[uint64]bool)}
	s.arrived.L, s.watch.L = &s.mu, &s.mu
	s.ctx, s.cancel = context.WithCancel(ctx)
	s.use = func(l lease) { s.used = l }
	if err := s.init(in); err != nil {
		text, _ := encodeError(err)
		_ = s.answers.send(ctx, append([]byte{answerError}, text...), false) // the pool may be gone
		return err
	}
	if err := s.answers.send(ctx, []byte{answerReady}, false); err != nil {
		return err
	}
	go s.standIn()
	defer s.close()
	var msg []byte
	for {
		var ok bool
		if msg, ok = s.next(msg); !ok {
			return nil
		}
		s.quiet = msg[0] == messageBrief
		for rest := msg[1:]; len(rest) > 0; {
			var err error
			if rest, err = s.runBatch(rest); err != nil {
				return err
			}
			s.tell()
		}
	}
}

// tellAfter is how long the pool may sleep, at most, while there are answers of whole batches.
const tellAfter = 20 * time.Microsecond

// tell wakes the pool for the answers that it has not been woken for. While batches are short, it
// does so now and then only: to wake the pool takes longer than such a batch.
func (s *server) tell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	// No sleeper is overlooked: to release and acquire the mutex is a fence after the answer was sent.
	if !s.answers.unheard() {
		return // most often, and to look at the clock takes long, as calls go
	}
	if now := wait.Now(); s.slow || now-s.told >= tellAfter {
		s.told = now
		s.answers.wake()
	}
}

// isDue reports whether the answer of a call must wake the pool: while the batches of a message run for long,
// the first one after standInAfter. A wake for each would take a good part of the time of short calls, and the
// results of a batch are delivered together. The caller holds mu.
func (s *server) isDue() bool {
	if !s.slow {
		return false
	}
	now := wait.Now()
	if now-s.told < standInAfter {
		return false
	}
	s.told = now
	return true
}

// next returns the next message with batches. It receives messages itself, unless the goroutine that
// stands in for it does. ok is false if there is no such message any more. The memory of done, the
// last one, may be that of a message that is received from then on.
func (s *server) next(done []byte) (msg []byte, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = false
	s.reuse(done)
	if len(s.batches) == 0 {
		s.answers.wake()
	}
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
			s.slow = true
			s.answers.wake()
			s.receiving = true
			for s.running && !s.ended {
				s.receive()
			}
			s.receiving = false
			s.slow = false // not before: a message that has arrived meanwhile may run already
			s.arrived.Signal()
		}
	}
}

// close ends both goroutines: next returns false after the messages that have arrived. It wakes the
// pool for the last answers.
func (s *server) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.watch.Signal()
	s.answers.close()
}

// runBatch runs the calls of the first batch in msg, unless the pool has taken it back, and answers
// them. It returns what follows the batch.
func (s *server) runBatch(msg []byte) (rest []byte, err error) {
	name, n, rest, err := parseBatch(msg)
	if err != nil {
		return nil, err
	}
	if !s.beginBatch() {
		for ; n > 0 && err == nil; n-- {
			_, rest, err = cutCall(rest)
		}
		return rest, err
	}
	if string(name) != s.task {
		s.task, s.function = string(name), findTask(string(name)).run
	}
	s.rest, s.left = rest, n
	for s.left > 0 && err == nil {
		err = s.runCalls()
	}
	return s.rest, err
}

// runCalls runs the calls of the batch that are left, and answers them. If one panics, it answers
// that one and returns.
func (s *server) runCalls() (err error) {
	s.inside = false
	defer func() {
		if s.inside {
			err = s.unwound(recover())
		}
	}()
	for s.left > 0 {
		argument, rest, err := cutCall(s.rest)
		if err != nil {
			return err
		}
		s.rest, s.left = rest, s.left-1
		s.answer = s.run(s.answer[:0], argument)
		if err := s.answered(); err != nil {
			return err
		}
	}
	return nil
}

// answered sends the answer of a call, and makes ready for the next one.
func (s *server) answered() error {
	s.mu.Lock()
	err := s.answers.send(s.parent, s.answer, s.quiet && !s.isDue())
	s.call++
	s.ready()
	s.mu.Unlock()
	if cap(s.answer) > workerRing {
		s.answer = nil
	}
	return err
}

// ready makes ctx the context of the call that runs next. The caller holds mu.
func (s *server) ready() {
	if s.ctx.Err() != nil {
		s.ctx, s.cancel = context.WithCancel(s.parent)
	}
	if len(s.stops) > 0 && s.call < s.stops[s.number] {
		s.cancel()
	}
}

func (s *server) init(in workerInput) (err error) {
	if in.Init == "" {
		return nil
	}
	run := findTask(in.Init).run
	if run == nil {
		return fmt.Errorf("task %q: %w", in.Init, ErrUnknownTask)
	}
	_, err = run(s.parent, nil, in.Input, nil) // what it opens stays open
	return err
}

// receive receives one message, and does or notes what it says. If the pool is gone or has sent the
// last message, it sets ended. The caller holds mu, which is released meanwhile.
func (s *server) receive() {
	buf := s.spare
	s.spare = nil
	s.mu.Unlock()
	msg, err := s.receiveIn(buf)
	s.mu.Lock()
	switch {
	case err != nil || len(msg) == 0:
	case msg[0] == messageStop:
		err = s.stop(msg)
	case msg[0] == messageOpened:
		s.opened(msg[1:])
	case msg[0] == messageBack:
		err = s.giveBack(msg)
	case msg[0] == messageBatch, msg[0] == messageBrief:
		s.batches = append(s.batches, msg)
	default: // messageQuit, or malformed
		err = io.EOF
	}
	if err != nil || len(msg) == 0 {
		s.ended = true
		s.watch.Signal()
	} else if msg[0] != messageBatch && msg[0] != messageBrief {
		s.reuse(msg)
	}
}

// receiveIn receives a message, into buf if it is long enough. New memory for each long message would
// keep the garbage collector busy for longer than the message takes.
func (s *server) receiveIn(buf []byte) (msg []byte, err error) {
	n, err := s.conn.ReceiveInto(s.parent, buf)
	if errors.Is(err, io.ErrShortBuffer) {
		return s.conn.Receive(s.parent)
	}
	return buf[:min(n, len(buf))], err
}

// reuse keeps the memory of a message that is not needed any more. The caller holds mu.
func (s *server) reuse(msg []byte) {
	if cap(msg) <= workerRing {
		s.spare = msg[:cap(msg)]
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

// beginBatch makes ready for the next batch. It reports false if the pool has taken it back.
func (s *server) beginBatch() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.begun > 0 {
		delete(s.stops, s.number)
	}
	s.number, s.call = s.begun, 0
	s.begun++
	if s.taken[s.number] {
		delete(s.taken, s.number)
		return false
	}
	s.ready()
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

// giveBack answers messageBack. The caller holds mu.
func (s *server) giveBack(msg []byte) error {
	from, to, err := twoNumbers(msg)
	if err != nil {
		return err
	}
	from = max(from, s.begun)
	for number := from; number < to; number++ {
		s.taken[number] = true
	}
	return s.answers.send(s.parent, appendTwo(answerBack, from, to), false)
}

// run runs one call of the batch and appends its answer to dst.
func (s *server) run(dst []byte, argument []byte) (answer []byte) {
	ctx := s.ctx
	if err := ctx.Err(); err != nil {
		return appendError(dst, err)
	}
	if s.function == nil {
		return appendError(dst, fmt.Errorf("task %q: %w", s.task, ErrUnknownTask))
	}
	s.used = nil
	s.inside = true
	made, err := s.function(ctx, append(dst, answerResult), argument, s.use)
	s.inside = false
	if err != nil {
		s.used.close()
		return appendError(dst, err)
	}
	if made.shared == nil {
		s.used.close()
		return made.result
	}
	s.mu.Lock()
	s.given = append(s.given, gift{s.number, append(s.used, *made.shared...)})
	s.mu.Unlock()
	made.result[len(dst)] = answerObjects
	return made.result
}

// unwound answers a call whose task has panicked with v, or has called runtime.Goexit if v is nil.
func (s *server) unwound(v any) error {
	s.inside = false
	s.used.close()
	if v == nil {
		s.answer = appendError(s.answer[:0], errors.New("task called runtime.Goexit, which ends its worker"))
		s.answer[0] = answerLast
		return s.answered()
	}
	if text, err := encodePanic(v, debug.Stack()); err != nil {
		s.answer = appendError(s.answer[:0], err)
	} else {
		s.answer = append(append(s.answer[:0], answerPanic), text...)
	}
	return s.answered()
}

func appendError(dst []byte, err error) []byte {
	text, err := encodeError(err)
	if err != nil {
		text = nil // decodeError says that it can't be decoded
	}
	return append(append(dst, answerError), text...)
}
