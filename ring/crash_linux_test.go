package ring_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

// crashArgs are the arguments of a process that will be killed, the victim. The victim sends to
// Acks each value that it has put or got, once the call has returned.
type crashArgs struct {
	Queue *ring.Queue[uint64]
	Data  *ring.Conn
	Acks  *ring.Conn
	Count int
}

var crashPutter = proc.Register("crash putter", func(ctx context.Context, in crashArgs) (int, error) {
	for i := range in.Count {
		if err := in.Queue.Put(ctx, uint64(i)); err != nil {
			return i, err
		}
		if err := in.Acks.Send(ctx, binary.LittleEndian.AppendUint64(nil, uint64(i))); err != nil {
			return i, err
		}
	}
	return in.Count, nil
})

var crashGetter = proc.Register("crash getter", func(ctx context.Context, in crashArgs) (int, error) {
	for i := range in.Count {
		v, err := in.Queue.Get(ctx)
		if err != nil {
			return i, err
		}
		if err := in.Acks.Send(ctx, binary.LittleEndian.AppendUint64(nil, v)); err != nil {
			return i, err
		}
	}
	return in.Count, nil
})

// A crashScene is a segment with the objects that the victim and this process share.
type crashScene struct {
	*testing.T
	ctx   context.Context
	seg   *shm.Segment
	queue *ring.Queue[uint64]
	acks  *ring.Conn // end of this process
	given *ring.Conn // end of the victim
}

const crashCapacity = 4

func newCrashScene(t *testing.T) *crashScene {
	t.Helper()
	NeedCrashPoints(t)
	seg := Blocking(t, 1<<20)
	queue, err := ring.NewQueue[uint64](seg, "queue", crashCapacity, nil)
	if err != nil {
		t.Fatal(err)
	}
	acks, given, err := ring.NewPipe(seg, "acks", nil)
	if err != nil {
		t.Fatal(err)
	}
	return &crashScene{t, Within(t), seg, queue, acks, given}
}

// acked returns the values that the dead victim has acknowledged. It checks that EOF follows them.
func (s *crashScene) acked() []uint64 {
	s.Helper()
	s.given.Close()
	var all []uint64
	for {
		msg, err := s.acks.Receive(s.ctx)
		if err == io.EOF {
			return all
		}
		if err != nil {
			s.Fatalf("acknowledgements: %v after %d", err, len(all))
		}
		all = append(all, binary.LittleEndian.Uint64(msg))
	}
}

// drain takes all values from the queue and returns them.
func (s *crashScene) drain() []uint64 {
	s.Helper()
	var all []uint64
	for {
		v, err := s.queue.TryGet()
		if errors.Is(err, ring.ErrEmpty) {
			return all
		}
		if err != nil {
			s.Fatalf("TryGet after %v: %v", all, err)
		}
		all = append(all, v)
	}
}

// awaitAnnounced waits until the death has been announced, so that no more than that many parties
// are left.
func (s *crashScene) awaitAnnounced(parties int) {
	s.Helper()
	for {
		n, err := s.seg.Parties()
		if err != nil {
			s.Fatal(err)
		}
		if n <= parties {
			return
		}
		// A process that waits announces deaths, so wait for a while.
		ctx, cancel := context.WithTimeout(s.ctx, 5*time.Millisecond)
		_, err = s.queue.Get(ctx)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			s.Fatalf("Get of a queue that should be empty: %v", err)
		}
		if s.ctx.Err() != nil {
			s.Fatal("the death was never announced")
		}
	}
}

// checkQueue checks that the empty queue works as a new one. For several laps, as many values as
// its capacity fit, no more, and they come out in order.
func (s *crashScene) checkQueue() {
	s.Helper()
	if n := s.queue.Len(); n != 0 {
		s.Errorf("Len is %d after drain", n)
	}
	for lap := range 3 * crashCapacity {
		for i := range crashCapacity {
			if err := s.queue.TryPut(uint64(1000 + i)); err != nil {
				s.Fatalf("lap %d: put %d of %d: %v", lap, i, crashCapacity, err)
			}
		}
		if err := s.queue.TryPut(0); !errors.Is(err, ring.ErrFull) {
			s.Fatalf("lap %d: put beyond the capacity: %v", lap, err)
		}
		if n := s.queue.Len(); n != crashCapacity {
			s.Fatalf("lap %d: Len is %d, want %d", lap, n, crashCapacity)
		}
		for i := range crashCapacity {
			if v, err := s.queue.TryGet(); err != nil || v != uint64(1000+i) {
				s.Fatalf("lap %d: got %d, %v; want %d", lap, v, err, 1000+i)
			}
		}
	}
}

// TestPutterDies kills a putter at each step of its first and of later puts.
func TestPutterDies(t *testing.T) {
	for point := range crash.Points(crash.QueuePutClaimed, crash.QueuePutWaiting) {
		for _, n := range []int{1, 3} {
			t.Run(fmt.Sprintf("%v/%d", point, n), func(t *testing.T) {
				s := newCrashScene(t)
				in := crashArgs{Queue: s.queue, Acks: s.given, Count: 100}
				if point == crash.QueuePutWaiting && n > 1 {
					t.Skip("how often it waits is up to the scheduler; its first wait is tested")
				}

				// A getter waits while the putter dies. It must get the values that the putter
				// put before, and the value of this process.
				var got []uint64
				p := StartToDie(s, crashPutter, in, point, n)
				Killed(s, p)
				acked := s.acked()
				if err := s.queue.TryPut(7777); err != nil && !errors.Is(err, ring.ErrFull) {
					t.Fatal(err)
				}
				for !slices.Contains(got, 7777) {
					if len(got) > 0 && s.queue.Len() == 0 {
						if err := s.queue.Put(s.ctx, 7777); err != nil {
							t.Fatal(err)
						}
					}
					v, err := s.queue.Get(s.ctx)
					if err != nil {
						t.Fatalf("Get hangs on a dead putter: %v, got %v", err, got)
					}
					got = append(got, v)
				}
				s.check(acked, got[:len(got)-1], 0, 1)
				s.checkQueue()
			})
		}
	}
}

// check checks that the values in put were got exactly once and in order. Up to missing values may
// be missing, and up to extra values may be extra.
func (s *crashScene) check(put, got []uint64, missing, extra int) {
	s.Helper()
	seen := map[uint64]int{}
	for _, v := range got {
		if seen[v]++; seen[v] > 1 {
			s.Errorf("message %d was got twice: %v", v, got)
		}
	}
	known := map[uint64]bool{}
	for _, v := range put {
		known[v] = true
		if seen[v] == 0 {
			if missing--; missing < 0 {
				s.Errorf("message %d is lost; put %v, got %v", v, put, got)
			}
		}
	}
	for v := range seen {
		if !known[v] {
			if extra--; extra < 0 {
				s.Errorf("message %d came from nowhere; put %v, got %v", v, put, got)
			}
		}
	}
	if missing >= 0 && !slices.IsSorted(got) {
		s.Errorf("out of order: %v", got)
	}
}

// TestGetterDies kills a getter at each step of its first and of later gets.
func TestGetterDies(t *testing.T) {
	for point := range crash.Points(crash.QueueGetClaimed, crash.QueueGetWaiting) {
		for _, n := range []int{1, 3} {
			t.Run(fmt.Sprintf("%v/%d", point, n), func(t *testing.T) {
				if point == crash.QueueGetWaiting && n > 1 {
					t.Skip("how often it waits is up to the scheduler; its first wait is tested")
				}
				s := newCrashScene(t)
				parties, err := s.seg.Parties()
				if err != nil {
					t.Fatal(err)
				}
				p := StartToDie(s, crashGetter, crashArgs{Queue: s.queue, Acks: s.given, Count: 100}, point, n)
				var put, got []uint64
				for i := range uint64(crashCapacity) {
					if point == crash.QueueGetWaiting {
						break // it waits for the first
					}
					if err := s.queue.Put(s.ctx, i); err != nil {
						t.Fatalf("Put hangs on a dead getter: %v", err)
					}
					put = append(put, i)
				}
				Killed(s, p)
				got = append(got, s.acked()...)

				// A message that the victim held is delivered again, by Get and by TryGet.
				rest, err := s.queue.Get(s.soon())
				held := err == nil
				if held {
					got = append(got, rest)
				}
				got = append(got, s.drain()...)
				slices.Sort(got) // a redelivered message comes late
				missing := 0
				if point == crash.QueueGetFreed {
					missing = 1
				}
				s.check(put, got, missing, 0)
				s.awaitAnnounced(parties)
				s.checkQueue()
			})
		}
	}
}

// soon returns a context that ends long after the death must have been noticed.
func (s *crashScene) soon() context.Context {
	ctx, cancel := context.WithTimeout(s.ctx, 3*time.Second)
	s.Cleanup(cancel)
	return ctx
}

var crashSender = proc.Register("crash sender", func(ctx context.Context, in crashArgs) (int, error) {
	for i := range in.Count {
		if err := in.Data.Send(ctx, record(i)); err != nil {
			return i, err
		}
		if err := in.Queue.Put(ctx, uint64(i)); err != nil {
			return i, err
		}
	}
	return in.Count, nil
})

var crashReceiver = proc.Register("crash receiver", func(ctx context.Context, in crashArgs) (int, error) {
	for i := range in.Count {
		msg, err := in.Data.Receive(ctx)
		if err != nil {
			return i, err
		}
		if err := in.Queue.Put(ctx, binary.LittleEndian.Uint64(msg)); err != nil {
			return i, err
		}
	}
	return in.Count, nil
})

// crashHoldingSender and crashHoldingReceiver own the side for two messages at a time.
var crashHoldingSender = proc.Register("crash holding sender", func(ctx context.Context, in crashArgs) (int, error) {
	for i := 0; i < in.Count; i += 2 {
		s, err := in.Data.Sender(ctx)
		if err != nil {
			return i, err
		}
		for j := i; j < i+2; j++ {
			b, err := s.Reserve(ctx, len(record(j)))
			if err != nil {
				return j, err
			}
			copy(b, record(j))
			if err := s.Commit(); err != nil {
				return j, err
			}
			if err := in.Queue.Put(ctx, uint64(j)); err != nil {
				return j, err
			}
		}
		if err := s.Close(); err != nil {
			return i, err
		}
	}
	return in.Count, nil
})

var crashHoldingReceiver = proc.Register("crash holding receiver", func(ctx context.Context, in crashArgs) (int, error) {
	for i := 0; i < in.Count; i += 2 {
		r, err := in.Data.Receiver(ctx)
		if err != nil {
			return i, err
		}
		for j := i; j < i+2; j++ {
			msg, err := r.Receive(ctx)
			if err != nil {
				return j, err
			}
			v := binary.LittleEndian.Uint64(msg)
			if err := r.Release(); err != nil {
				return j, err
			}
			if err := in.Queue.Put(ctx, v); err != nil {
				return j, err
			}
		}
		if err := r.Close(); err != nil {
			return i, err
		}
	}
	return in.Count, nil
})

// crashStreamingSender and crashStreamingReceiver own the side for three messages at a time. They
// commit or release a message by asking for the next one.
var crashStreamingSender = proc.Register("crash streaming sender", func(ctx context.Context, in crashArgs) (int, error) {
	for i := 0; i < in.Count; i += 3 {
		s, err := in.Data.Sender(ctx)
		if err != nil {
			return i, err
		}
		for j := i; j < i+3; j++ {
			b, err := s.Next(ctx, len(record(j)))
			if err != nil {
				return j, err
			}
			copy(b, record(j))
			if j == i {
				continue
			}
			if err := in.Queue.Put(ctx, uint64(j-1)); err != nil {
				return j, err
			}
		}
		if err := s.Commit(); err != nil {
			return i, err
		}
		if err := in.Queue.Put(ctx, uint64(i+2)); err != nil {
			return i, err
		}
		if err := s.Close(); err != nil {
			return i, err
		}
	}
	return in.Count, nil
})

var crashStreamingReceiver = proc.Register("crash streaming receiver", func(ctx context.Context, in crashArgs) (int, error) {
	for i := 0; i < in.Count; i += 3 {
		r, err := in.Data.Receiver(ctx)
		if err != nil {
			return i, err
		}
		var last uint64
		for j := i; j < i+3; j++ {
			msg, err := r.Receive(ctx)
			if err != nil {
				return j, err
			}
			if j > i {
				if err := in.Queue.Put(ctx, last); err != nil {
					return j, err
				}
			}
			last = binary.LittleEndian.Uint64(msg)
		}
		if err := r.Release(); err != nil {
			return i, err
		}
		if err := in.Queue.Put(ctx, last); err != nil {
			return i, err
		}
		if err := r.Close(); err != nil {
			return i, err
		}
	}
	return in.Count, nil
})

// A pipeScene is a crashScene with a pipe. The victim uses end b. If the scene is shared, b had
// another user before, so the victim revokes the biases of its sides.
type pipeScene struct {
	*crashScene
	a, b *ring.Conn
	acks *ring.Queue[uint64]
}

func newPipeScene(t *testing.T, shared bool) *pipeScene {
	t.Helper()
	s := &pipeScene{crashScene: newCrashScene(t)}
	var err error
	if s.a, s.b, err = ring.NewPipe(s.seg, "data", &ring.PipeOptions{Capacity: 4096}); err != nil {
		t.Fatal(err)
	}
	if s.acks, err = ring.NewQueue[uint64](s.seg, "", 100, nil); err != nil {
		t.Fatal(err)
	}
	if shared {
		for _, way := range []struct{ from, to *ring.Conn }{{s.a, s.b}, {s.b, s.a}} {
			if err := way.from.Send(s.ctx, record(5000)); err != nil {
				t.Fatal(err)
			}
			if _, err := way.to.Receive(s.ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	return s
}

// eachDeath runs f for each task and each step from first to last. The victim dies when it reaches
// the step for the first, third or ninth time.
func eachDeath(t *testing.T, first, last crash.Point, tasks []*proc.Task[crashArgs, int], f func(s *pipeScene, victim *proc.Call[int])) {
	for _, task := range tasks {
		for point := range crash.Points(first, last) {
			for _, n := range []int{1, 3, 9} {
				for _, shared := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s/%v/%d/shared=%v", task.Name(), point, n, shared), func(t *testing.T) {
						s := newPipeScene(t, shared)
						f(s, StartToDie(s, task, crashArgs{Queue: s.acks, Data: s.b, Acks: s.given, Count: 100}, point, n))
					})
				}
			}
		}
	}
}

// acked returns the numbers that the dead victim put into acks.
func (s *pipeScene) acked() (all []uint64) {
	for {
		v, err := s.acks.TryGet()
		if err != nil {
			return all
		}
		all = append(all, v)
	}
}

// record returns message i. It has 1,000 bytes, so that four messages fill a ring, and the fifth
// goes around its end.
func record(i int) []byte {
	return append(binary.LittleEndian.AppendUint64(nil, uint64(i)), make([]byte, 992)...)
}

// TestSenderDies kills the sender of a pipe at each step. Another holder of its end goes on.
func TestSenderDies(t *testing.T) {
	tasks := []*proc.Task[crashArgs, int]{crashSender, crashHoldingSender, crashStreamingSender}
	eachDeath(t, crash.PipeSendEntered, crash.PipeSendLeft, tasks, func(s *pipeScene, victim *proc.Call[int]) {
		t, a, b := s.T, s.a, s.b
		received := make(chan []uint64, 1)
		go func() {
			var got []uint64
			defer func() { received <- got }()
			for {
				msg, err := a.Receive(s.ctx)
				if err != nil {
					t.Errorf("Receive hangs on a dead sender: %v", err)
					return
				}
				v := binary.LittleEndian.Uint64(msg)
				if v == 7777 {
					return
				}
				got = append(got, v)
			}
		}()
		Killed(s, victim)
		// The other holder sends on that end.
		if err := b.Send(s.ctx, record(7777)); err != nil {
			t.Fatalf("Send hangs on a dead sender: %v", err)
		}
		got := <-received
		s.check(s.acked(), got, 0, 1)
		s.checkPipe(a, b)
		b.Close()
		if _, err := a.Receive(s.ctx); err != io.EOF {
			t.Errorf("Receive when no process holds the other end: %v, want EOF", err)
		}
	})
}

// TestReceiverDies kills the receiver of a pipe at each step. Another holder of its end receives
// the rest.
func TestReceiverDies(t *testing.T) {
	tasks := []*proc.Task[crashArgs, int]{crashReceiver, crashHoldingReceiver, crashStreamingReceiver}
	eachDeath(t, crash.PipeReceiveEntered, crash.PipeReceiveLeft, tasks, func(s *pipeScene, victim *proc.Call[int]) {
		t, a, b := s.T, s.a, s.b
		const count = 32 // this process receives the last ones
		done := make(chan error, 1)
		go func() {
			for i := range count {
				if err := a.Send(s.ctx, record(i)); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
		Killed(s, victim)
		var put []uint64
		for i := range uint64(count) {
			put = append(put, i)
		}
		got := s.acked()
		for len(got) == 0 || got[len(got)-1] != count-1 {
			msg, err := b.Receive(s.ctx)
			if err != nil {
				t.Fatalf("Receive hangs on a dead receiver: %v, got %v", err, got)
			}
			got = append(got, binary.LittleEndian.Uint64(msg))
		}
		if err := <-done; err != nil {
			t.Fatalf("Send hangs on a dead receiver: %v", err)
		}
		s.check(put, got, 1, 0)
		s.checkPipe(a, b)
	})
}

// checkPipe checks that an empty pipe works as a new one, for several laps.
func (s *crashScene) checkPipe(a, b *ring.Conn) {
	s.Helper()
	for i := range 30 {
		for _, way := range []struct{ from, to *ring.Conn }{{a, b}, {b, a}} {
			if err := way.from.Send(s.ctx, record(i)); err != nil {
				s.Fatal(err)
			}
			msg, err := way.to.Receive(s.ctx)
			if err != nil || !slices.Equal(msg, record(i)) {
				s.Fatalf("message %d: %v", i, err)
			}
		}
	}
}
