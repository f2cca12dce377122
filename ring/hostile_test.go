//go:build linux

package ring_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/layout"
	"github.com/seed-2e7ecdea/mp/internal/object"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

// hostility returns how long each part of the test takes.
func hostility() time.Duration {
	if testing.Short() {
		return 100 * time.Millisecond
	}
	return 250 * time.Millisecond
}

// A spoiler writes words into memory: random ones, and ones that are likely to have a meaning
// there.
type spoiler struct {
	words []atomic.Uint32
	rand  *rand.Rand
}

func newSpoiler(mem []byte, seed uint64) *spoiler {
	return &spoiler{view.Slice[atomic.Uint32](mem, 0, len(mem)/4), rand.New(rand.NewPCG(seed, 1))}
}

func (s *spoiler) spoil() {
	w := &s.words[s.rand.IntN(len(s.words))]
	if s.rand.IntN(2) == 0 { // most words that matter are at the front
		w = &s.words[s.rand.IntN(min(len(s.words), 320))]
	}
	switch s.rand.IntN(6) {
	case 0:
		w.Store(s.rand.Uint32())
	case 1:
		w.Store(w.Load() ^ 1<<s.rand.IntN(32))
	case 2:
		w.Store(s.words[s.rand.IntN(len(s.words))].Load())
	case 3:
		w.Store(0)
	case 4:
		w.Store(^uint32(0))
	case 5:
		w.Store(w.Load() + uint32(s.rand.IntN(17)) - 8)
	}
}

// TestHostileBytes shows that each call returns, and that no call panics or faults, whatever
// another process writes into the memory of an object.
func TestHostileBytes(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		t.Run("queue", func(t *testing.T) { testHostileQueue(t, seg) })
		t.Run("encoded queue", func(t *testing.T) { testHostileEncoded(t, seg) })
		t.Run("pipe", func(t *testing.T) { testHostilePipe(t, seg) })
		t.Run("broadcast", func(t *testing.T) {
			type big [12]byte
			testHostileBroadcast(t, seg, Must(layout.Of[big]())(t).Fingerprint, func() (v big) { return big{1} })
		})
		t.Run("encoded broadcast", func(t *testing.T) {
			testHostileBroadcast(t, seg, ring.EncodedPrint[string](), func() string {
				return strings.Repeat("x", rand.IntN(1<<(1+rand.IntN(13))))
			})
		})
	})
}

// hostile spoils mem between the operations and, if during is true, also during them. Each
// operation must end within Patience.
func hostile(t *testing.T, mem []byte, during bool, reset func(), ops []func() error) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	s := newSpoiler(mem, seed)
	var count atomic.Int64
	done := Async(func() error {
		// At least 100 operations, also on a busy machine.
		for begin, i := time.Now(), 0; time.Since(begin) < hostility() || i < 100; i++ {
			if i%200 == 0 {
				reset()
			}
			for range s.rand.IntN(3) {
				s.spoil()
			}
			op := s.rand.IntN(len(ops))
			if err := ops[op](); err != nil {
				return fmt.Errorf("operation %d: %w", op, err)
			}
			count.Add(1)
		}
		return nil
	})
	stop := make(chan struct{})
	spoiled := make(chan struct{})
	go func() {
		defer close(spoiled)
		s := newSpoiler(mem, seed+1)
		for during {
			select {
			case <-stop:
				return
			default:
				s.spoil()
				runtime.Gosched()
			}
		}
	}()
	defer func() { close(stop); <-spoiled }()
	last, since := int64(0), time.Now()
	for {
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			return
		case <-time.After(100 * time.Millisecond):
		}
		if n := count.Load(); n != last {
			last, since = n, time.Now()
		} else if time.Since(since) > Patience {
			Stuck(t, fmt.Sprintf("seed %d: operation %d does not end", seed, n))
		}
	}
}

// unexpected returns nil if a method of a queue, pipe or broadcast may return err, and err otherwise.
func unexpected(err error) error {
	for _, e := range []error{
		nil, ring.ErrFull, ring.ErrEmpty, ring.ErrBusy, ring.ErrShutdown, ring.ErrTooLarge, ring.ErrBrokenPipe,
		ring.ErrCorrupt, ring.ErrDecode, ring.ErrLost, ring.ErrTooManySubscribers, context.Canceled, context.DeadlineExceeded,
	} {
		if errors.Is(err, e) {
			return nil
		}
	}
	return err
}

// briefly returns a function that calls f with a context that ends soon.
func briefly(f func(ctx context.Context) error) func() error {
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Microsecond)
		defer cancel()
		return unexpected(f(ctx))
	}
}

func isMapped(t *testing.T, seg *shm.Segment) bool {
	t.Helper()
	_, err := object.NewGrant(seg)
	return !errors.Is(err, errors.ErrUnsupported)
}

func testHostileQueue(t *testing.T, seg *shm.Segment) {
	type big [12]byte
	for _, capacity := range []int{1, 7, 40} {
		name := fmt.Sprint("q", capacity)
		q := Closing(t, Must(ring.NewQueue[big](seg, name, capacity, nil))(t))
		print := Must(layout.Of[big]())(t).Fingerprint
		o := Must(object.Open(seg, shm.KindQueue, name, print))(t)
		blank := append([]byte(nil), o.Bytes()...)
		reset := func() { restore(o.Bytes(), blank) }
		hostile(t, o.Bytes(), isMapped(t, seg), reset, []func() error{
			func() error { return unexpected(q.TryPut(big{1})) },
			func() error { return unexpected(Second(q.TryGet())) },
			func() error { q.Len(); return nil },
			briefly(func(ctx context.Context) error { return q.Put(ctx, big{1}) }),
			briefly(func(ctx context.Context) error { return Second(q.Get(ctx)) }),
			func() error {
				r, err := ring.OpenQueue[big](seg, name)
				if err != nil {
					return unexpected(err)
				}
				r.TryPut(big{})
				r.TryGet()
				return r.Close()
			},
		})
		runtime.KeepAlive(o)
	}
}

func testHostileEncoded(t *testing.T, seg *shm.Segment) {
	const name = "e"
	made := Must(ring.NewQueue(seg, name, 3, &ring.QueueOptions[map[string]any]{Storage: 16 << 10}))(t)
	q := Closing(t, made)
	o := Must(object.OpenHandle(q.Handle(), shm.KindQueue, ring.EncodedPrint[map[string]any]()))(t)
	short, long := map[string]any{"a": 1}, map[string]any{"b": string(make([]byte, 3000)), "c": []any{true}}
	WantNil(t, "Put", q.Put(context.Background(), long)) // the blocks have memory
	WantNil(t, "Put", q.Put(context.Background(), short))
	blank := append([]byte(nil), o.Bytes()...)
	some := func() map[string]any { return []map[string]any{short, long}[rand.IntN(2)] }
	hostile(t, o.Bytes(), isMapped(t, seg), func() { restore(o.Bytes(), blank) }, []func() error{
		func() error { return unexpected(q.TryPut(some())) },
		func() error { return unexpected(Second(q.TryGet())) },
		func() error { q.Len(); return nil },
		briefly(func(ctx context.Context) error { return q.Put(ctx, some()) }),
		briefly(func(ctx context.Context) error { return Second(q.Get(ctx)) }),
		briefly(func(ctx context.Context) error {
			l, err := q.Lease(ctx)
			if err != nil {
				return err
			}
			if err := l.Return(); rand.IntN(2) == 0 || err != nil {
				return err
			}
			if l, err = q.Lease(ctx); err != nil {
				return err
			}
			return l.Done()
		}),
		func() error {
			r, err := ring.OpenQueue[map[string]any](seg, name)
			if err != nil {
				return unexpected(err)
			}
			r.TryPut(some())
			r.TryGet()
			return r.Close()
		},
	})
	runtime.KeepAlive(o)
}

func testHostileBroadcast[T any](t *testing.T, seg *shm.Segment, print uint64, some func() T) {
	name := fmt.Sprintf("b %x", print)
	b := Closing(t, Must(ring.NewBroadcast[T](seg, name, 8, &ring.BroadcastOptions{Subscribers: 3, Storage: 16 << 10}))(t))
	subs := []*ring.Subscriber[T]{subscribe(t, b, nil), subscribe(t, b, lossy)}
	o := Must(object.Open(seg, shm.KindBroadcast, name, print))(t)
	blank := append([]byte(nil), o.Bytes()...)
	one := func() *ring.Subscriber[T] { return subs[rand.IntN(len(subs))] }
	hostile(t, o.Bytes(), isMapped(t, seg), func() { restore(o.Bytes(), blank) }, []func() error{
		func() error { return unexpected(b.TryPublish(some())) },
		func() error { return unexpected(Second(one().TryReceive())) },
		func() error { one().Lag(); return nil },
		briefly(func(ctx context.Context) error { return b.Publish(ctx, some()) }),
		briefly(func(ctx context.Context) error { return Second(one().Receive(ctx)) }),
		func() error {
			s, err := b.Subscribe(&ring.SubscribeOptions{Lossy: rand.IntN(2) == 0, Oldest: rand.IntN(2) == 0})
			if err != nil {
				return unexpected(err)
			}
			s.TryReceive()
			return s.Close()
		},
		func() error {
			c, err := ring.OpenBroadcast[T](seg, name)
			if err != nil {
				return unexpected(err)
			}
			c.TryPublish(some())
			return c.Close()
		},
	})
	runtime.KeepAlive(o)
}

// restore copies from to mem by atomic stores, because other goroutines read mem.
func restore(mem, from []byte) {
	to, words := view.Slice[atomic.Uint32](mem, 0, len(mem)/4), view.Slice[atomic.Uint32](from, 0, len(from)/4)
	for i := range to {
		to[i].Store(words[i].Load())
	}
}

func testHostilePipe(t *testing.T, seg *shm.Segment) {
	for _, revoke := range []bool{false, true} {
		name := fmt.Sprint("p", revoke)
		a, b, err := ring.NewPipe(seg, name, &ring.PipeOptions{Capacity: 1})
		WantNil(t, "NewPipe", err)
		Closing(t, a)
		Closing(t, b)
		o := Must(object.Open(seg, shm.KindPipe, name, ring.PipePrint))(t)
		if revoke {
			for range 2 {
				Await(t, Async(func() error { a.TrySend(nil); return Second(b.TryReceive()) }), "revocation")
			}
		}
		blank := append([]byte(nil), o.Bytes()...)
		buf, long := make([]byte, 5000), make([]byte, 9000)
		var r ring.Reservation
		var m ring.Message
		hostile(t, o.Bytes(), isMapped(t, seg), func() { restore(o.Bytes(), blank) }, []func() error{
			func() error { return unexpected(a.TrySend(buf[:rand.IntN(100)])) },
			func() error { return unexpected(a.TrySend(buf[:rand.IntN(len(buf))])) },
			func() error { return unexpected(Second(b.TryReceive())) },
			func() error {
				n, err := b.TryReceiveInto(buf)
				if errors.Is(err, io.ErrShortBuffer) {
					return nil // n is the length that the message claims
				}
				if n > len(buf) {
					return fmt.Errorf("received %d bytes into %d", n, len(buf))
				}
				return unexpected(err)
			},
			briefly(func(ctx context.Context) error { return a.Send(ctx, buf[:1000]) }),
			briefly(func(ctx context.Context) error { return Second(b.Receive(ctx)) }),
			briefly(func(ctx context.Context) error { return a.Send(ctx, long) }),
			briefly(func(ctx context.Context) error { return Second(b.Skip(ctx)) }),
			briefly(func(ctx context.Context) error { return b.Poll(ctx) }),
			func() error {
				ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
				defer cancel()
				sent := Async(func() error { return a.Send(ctx, long) })
				err := Second(b.Receive(ctx))
				return errors.Join(unexpected(err), unexpected(<-sent))
			},
			func() (err error) {
				if r, err = a.Reserve(Expired, rand.IntN(2000)); err != nil {
					return unexpected(err)
				}
				clear(r.Bytes())
				return unexpected(r.Commit())
			},
			func() (err error) {
				if m, err = b.ReceiveInPlace(Expired); err != nil {
					return unexpected(err)
				}
				copy(buf, m.Bytes())
				return unexpected(m.Release())
			},
			func() error { return unexpected(sendRow(a, o.Bytes())) },
			func() error { return unexpected(receiveRow(b, o.Bytes())) },
			func() error {
				c, err := ring.OpenPipe(seg, name, ring.A)
				if err != nil {
					return unexpected(err)
				}
				c.TrySend(buf[:10])
				return c.Close()
			},
		})
		runtime.KeepAlive(o)
	}
}

// sendRow sends messages through a Sender, and checks that each lies in the memory of the object.
func sendRow(c *ring.Conn, mem []byte) error {
	x, err := c.Sender(Expired)
	if err != nil {
		return err
	}
	defer x.Close()
	for range rand.IntN(30) {
		reserve := x.Next
		if rand.IntN(4) == 0 {
			reserve = x.Reserve
		}
		msg, err := reserve(Expired, rand.IntN(1<<(3+rand.IntN(14)))-1)
		if err != nil {
			return err
		}
		if err := checkInside(mem, msg, c.Limit()); err != nil {
			return err
		}
		clear(msg)
	}
	return nil
}

// receiveRow receives messages through a Receiver, and checks that each lies in the memory of the
// object.
func receiveRow(c *ring.Conn, mem []byte) error {
	x, err := c.Receiver(Expired)
	if err != nil {
		return err
	}
	defer x.Close()
	for range rand.IntN(30) {
		msg, err := x.Receive(Expired)
		if err != nil {
			return err
		}
		if err := checkInside(mem, msg, len(mem)); err != nil {
			return err
		}
	}
	return x.Release()
}

// checkInside returns an error unless msg lies in mem and has at most limit bytes.
func checkInside(mem, msg []byte, limit int) error {
	at, from := reflect.ValueOf(msg).Pointer(), reflect.ValueOf(mem).Pointer()
	if len(msg) > limit || at < from || at+uintptr(len(msg)) > from+uintptr(len(mem)) {
		return fmt.Errorf("a message of %d bytes at %#x, the pipe has %d at %#x", len(msg), at, len(mem), from)
	}
	return nil
}
