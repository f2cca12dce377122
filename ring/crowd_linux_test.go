package ring_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

// crowdSize is the number of getters and the number of putters in each process. It is larger than
// the number of goroutines of a process that sleep in the kernel themselves.
const crowdSize = 60

// getCrowd gets from q in many goroutines until the queue is shut down, and calls count for each
// message. Half of the goroutines cancel some of their waits.
func getCrowd(ctx context.Context, q *ring.Queue[message], count func(m message)) error {
	var errs [crowdSize]error
	var wg sync.WaitGroup
	for i := range crowdSize {
		wg.Go(func() {
			for n := 0; ; n++ {
				turn, cancel := ctx, context.CancelFunc(func() {})
				if i%2 == 0 && n < 20 {
					turn, cancel = context.WithTimeout(ctx, time.Duration(50*i)*time.Microsecond)
				}
				m, err := q.Get(turn)
				cancel()
				switch {
				case err == nil:
					count(m)
				case ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
				case errors.Is(err, ring.ErrShutdown):
					return
				default:
					errs[i] = err
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs[:]...)
}

// putCrowd puts n messages from each of many goroutines.
func putCrowd(ctx context.Context, q *ring.Queue[message], first uint32, n int) error {
	var errs [crowdSize]error
	var wg sync.WaitGroup
	for i := range crowdSize {
		wg.Go(func() {
			for seq := range n {
				if errs[i] = q.Put(ctx, message{first + uint32(i), uint32(seq)}); errs[i] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs[:]...)
}

const crowdMessages = 40 // of each putter

func cellOf(m message) int { return int(m.From)*crowdMessages + int(m.Seq) }

var crowdGetter = Task("crowd of getters", func(ctx context.Context, j job) (int, error) {
	j.Cells.Add(0)
	return 0, getCrowd(ctx, j.Queue, func(m message) { j.Cells.At(1 + cellOf(m)).Add(1) })
})

var crowdPutter = Task("crowd of putters", func(ctx context.Context, j job) (int, error) {
	j.Cells.Add(0)
	return 0, putCrowd(ctx, j.Queue, j.From, crowdMessages)
})

// TestCrowdsShareQueue shows that each message is got once, and no goroutine waits for ever, if
// many goroutines of several processes put and get.
func TestCrowdsShareQueue(t *testing.T) {
	for _, capacity := range []int{1, 16} {
		seg := Anonymous(t, room)
		q := newQueue[message](t, seg, capacity)
		c := NewCells(t, seg, 1+2*crowdSize*crowdMessages)
		j := job{Queue: q, Cells: c, From: crowdSize}
		getter, putter := Start(t, crowdGetter, j), Start(t, crowdPutter, j)
		got := Async(func() error {
			return getCrowd(Within(t), q, func(m message) { c.At(1 + cellOf(m)).Add(1) })
		})
		c.Await(t, 0, 2)
		WantNil(t, "putters", putCrowd(Within(t), q, 0, crowdMessages))
		Result(t, putter)
		WantNil(t, "Shutdown", q.Shutdown())
		WantNil(t, "getters", Await(t, got, "getters"))
		Result(t, getter)
		wantOnce(t, c, 1)
	}
}

// TestCrowdOnHeap is TestCrowdsShareQueue with parties of one process, for the race detector.
func TestCrowdOnHeap(t *testing.T) {
	seg := Heap(t, room)
	q := Closing(t, Must(ring.NewQueue[message](seg, "q", 4, nil))(t))
	c := NewCells(t, seg, 2*crowdSize*crowdMessages)
	var got []<-chan error
	var put []<-chan error
	for i, party := range []*shm.Segment{seg, Attach(t, seg)} {
		mine := Closing(t, Must(ring.OpenQueue[message](party, "q"))(t))
		got = append(got, Async(func() error {
			return getCrowd(Within(t), mine, func(m message) { c.At(cellOf(m)).Add(1) })
		}))
		put = append(put, Async(func() error {
			return putCrowd(Within(t), mine, uint32(i*crowdSize), crowdMessages)
		}))
	}
	for _, done := range put {
		WantNil(t, "putters", Await(t, done, "putters"))
	}
	WantNil(t, "Shutdown", q.Shutdown())
	for _, done := range got {
		WantNil(t, "getters", Await(t, done, "getters"))
	}
	wantOnce(t, c, 0)
}

// TestCrowdSharesPipe shows that each message is received once, if many goroutines send to one end
// of a pipe and many receive from the other.
func TestCrowdSharesPipe(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		const each = 10
		a, b := newPipe(t, seg, 256)
		c := NewCells(t, seg, crowdSize*each)
		received := make(chan error, crowdSize)
		for range crowdSize {
			go func() {
				for range each {
					buf := make([]byte, 128)
					n, err := b.ReceiveInto(Within(t), buf)
					if err != nil {
						received <- err
						return
					}
					c.At(int(buf[0])*each + int(buf[1])).Add(1)
					for i := range buf[2:n] {
						if buf[2+i] != buf[0] {
							err = errors.New("torn message")
						}
					}
					if err != nil {
						received <- err
						return
					}
				}
				received <- nil
			}()
		}
		All(t, "senders", crowdSize, func(i int) error {
			for seq := range each {
				msg := make([]byte, 2+i)
				for k := range msg {
					msg[k] = byte(i)
				}
				msg[1] = byte(seq)
				if err := a.Send(Within(t), msg); err != nil {
					return err
				}
			}
			return nil
		})
		for range crowdSize {
			WantNil(t, "receiver", Await(t, received, "receivers"))
		}
		wantOnce(t, c, 0)
	})
}
