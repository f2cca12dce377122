package ring_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

// crowdSize is how many goroutines of each process get, and how many put:
// more than sleep themselves.
const crowdSize = 60

// getCrowd gets until the queue is shut down, and counts what each message is
// in its cell. Half of the goroutines lose patience now and then.
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

// putCrowd puts n messages by each of many goroutines.
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

const crowdMessages = 40 // of each goroutine that puts

func cellOf(m message) int { return int(m.From)*crowdMessages + int(m.Seq) }

var crowdGetter = task("crowd of getters", func(ctx context.Context, j job) (int, error) {
	j.Cells.add(0)
	return 0, getCrowd(ctx, j.Queue, func(m message) { j.Cells.at(1 + cellOf(m)).Add(1) })
})

var crowdPutter = task("crowd of putters", func(ctx context.Context, j job) (int, error) {
	j.Cells.add(0)
	return 0, putCrowd(ctx, j.Queue, j.From, crowdMessages)
})

// Crowds of several processes get and put: each message is got once, and
// nobody waits for ever.
func TestCrowdsShareQueue(t *testing.T) {
	for _, capacity := range []int{1, 16} {
		seg := anonymous(t)
		q := newQueue[message](t, seg, capacity)
		c := newCells(t, seg, 1+2*crowdSize*crowdMessages)
		j := job{Queue: q, Cells: c, From: crowdSize}
		getter, putter := start(t, crowdGetter, j), start(t, crowdPutter, j)
		got := async(func() error {
			return getCrowd(within(t), q, func(m message) { c.at(1 + cellOf(m)).Add(1) })
		})
		c.await(t, 0, 2)
		wantNil(t, "putters", putCrowd(within(t), q, 0, crowdMessages))
		result(t, putter)
		wantNil(t, "Shutdown", q.Shutdown())
		wantNil(t, "getters", await(t, got, "getters"))
		result(t, getter)
		c.once(t, 1)
	}
}

// The same between parties of this process, where the race detector looks.
func TestCrowdOnHeap(t *testing.T) {
	seg := heap(t)
	q := closing(t, must(ring.NewQueue[message](seg, "q", 4, nil))(t))
	c := newCells(t, seg, 2*crowdSize*crowdMessages)
	var got []<-chan error
	var put []<-chan error
	for i, party := range []*shm.Segment{seg, attach(t, seg)} {
		mine := closing(t, must(ring.OpenQueue[message](party, "q"))(t))
		got = append(got, async(func() error {
			return getCrowd(within(t), mine, func(m message) { c.at(cellOf(m)).Add(1) })
		}))
		put = append(put, async(func() error {
			return putCrowd(within(t), mine, uint32(i*crowdSize), crowdMessages)
		}))
	}
	for _, done := range put {
		wantNil(t, "putters", await(t, done, "putters"))
	}
	wantNil(t, "Shutdown", q.Shutdown())
	for _, done := range got {
		wantNil(t, "getters", await(t, done, "getters"))
	}
	c.once(t, 0)
}

// Many goroutines receive from one end of a pipe, and many send, by turns.
func TestCrowdSharesPipe(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		const each = 10
		a, b := newPipe(t, seg, 256)
		c := newCells(t, seg, crowdSize*each)
		received := make(chan error, crowdSize)
		for range crowdSize {
			go func() {
				for range each {
					buf := make([]byte, 128)
					n, err := b.ReceiveInto(within(t), buf)
					if err != nil {
						received <- err
						return
					}
					c.at(int(buf[0])*each + int(buf[1])).Add(1)
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
		all(t, "senders", crowdSize, func(i int) error {
			for seq := range each {
				msg := make([]byte, 2+i)
				for k := range msg {
					msg[k] = byte(i)
				}
				msg[1] = byte(seq)
				if err := a.Send(within(t), msg); err != nil {
					return err
				}
			}
			return nil
		})
		for range crowdSize {
			wantNil(t, "receiver", await(t, received, "receivers"))
		}
		c.once(t, 0)
	})
}
