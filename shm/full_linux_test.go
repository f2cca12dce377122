package shm_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/array"
	"github.com/seed-2e7ecdea/mp/internal/sys"
	"github.com/seed-2e7ecdea/mp/poll"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
	"github.com/seed-2e7ecdea/mp/value"
)

func init() {
	ops["nearly full"] = inSmallMemory("4m", func(ctx context.Context) (string, error) {
		x := &scarcity{ctx: ctx, page: os.Getpagesize()}
		err := x.perform()
		return fmt.Sprintf("ok %d steps, %d failures for lack of memory", x.steps, x.failures), err
	})
	// in full memory is a child: it opens what its parent has made, and uses it.
	ops["in full memory"] = func(ctx context.Context, j job) (string, error) {
		seg, err := shm.Open(j.Name, nil)
		if err != nil {
			return "", err
		}
		defer seg.Close()
		texts, err := ring.OpenQueue[string](seg, "texts")
		if err != nil {
			return "", err
		}
		if err := texts.TryPut(strings.Repeat("x", j.N)); err != nil && !errors.Is(err, shm.ErrNoSpace) {
			return "", err
		}
		lock, err := psync.OpenLock(seg, "lock")
		if err != nil {
			return "", err
		}
		if err := lock.Acquire(ctx); err != nil {
			return "", err
		}
		return "ok", lock.Release()
	}
}

// A scarcity performs steps in a /dev/shm that has hardly any free memory.
type scarcity struct {
	ctx             context.Context
	page            int
	steps, failures int
}

const ballast = "/dev/shm/ballast"

// leave makes a file of what is free, except for n pages.
func (x *scarcity) leave(n int) error {
	if err := os.Remove(ballast); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_, free, err := sys.FileSystem("/dev/shm")
	if err != nil {
		return err
	}
	size := int64(free) - int64(n*x.page)
	if size <= 0 {
		return fmt.Errorf("%d bytes are free, want more than %d pages", free, n)
	}
	f, err := os.Create(ballast)
	if err != nil {
		return err
	}
	return errors.Join(sys.Reserve(f, 0, size), f.Close())
}

// step performs f with no free page, then with one more after each failure, until it succeeds. All failures are
// ErrNoSpace. So f fails at each page that it touches for the first time.
func (x *scarcity) step(name string, f func() error) error {
	x.steps++
	for free := 0; ; free++ {
		if err := x.leave(free); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		err := f()
		if err == nil {
			return nil
		}
		if x.failures++; !errors.Is(err, shm.ErrNoSpace) || !errors.Is(err, syscall.ENOSPC) {
			return fmt.Errorf("%s with %d free pages: %w, want ErrNoSpace and ENOSPC", name, free, err)
		}
	}
}

// without performs f with no free page. It must succeed.
func (x *scarcity) without(name string, f func() error) error {
	x.steps++
	if err := x.leave(0); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := f(); err != nil {
		return fmt.Errorf("%s without free memory: %w", name, err)
	}
	return nil
}

// perform makes, opens, fills, waits for, removes and closes all kinds of objects.
func (x *scarcity) perform() error {
	var seg, second *shm.Segment
	var lock *psync.Lock
	var event *psync.Event
	var numbers *ring.Queue[[64]byte]
	var texts *ring.Queue[string]
	var a, b *ring.Conn
	var news *ring.Broadcast[string]
	var reader *ring.Subscriber[string]
	try := func(list ...error) error { return errors.Join(list...) }
	err := x.step("Create", func() (err error) {
		seg, err = shm.Create("scarce", 2<<20, &shm.Options{Objects: 2048})
		return err
	})
	if err != nil {
		return err
	}
	defer seg.Close()
	err = try(
		x.without("Open", func() (err error) {
			second, err = shm.Open("scarce", nil)
			return err
		}),
		x.step("NewLock", func() (err error) { lock, err = psync.NewLock(seg, "lock", nil); return err }),
		x.step("NewEvent", func() (err error) { event, err = psync.NewEvent(seg, "event"); return err }),
		x.step("NewCondition", func() error { _, err := psync.NewCondition(seg, "condition", lock, nil); return err }),
		x.step("NewSemaphore", func() error { _, err := psync.NewSemaphore(seg, "semaphore", 1); return err }),
		x.step("NewBarrier", func() error { _, err := psync.NewBarrier(seg, "barrier", 2, nil); return err }),
		x.step("NewRWLock", func() error { _, err := psync.NewRWLock(seg, "rwlock", nil); return err }),
		x.step("NewWaitGroup", func() error { _, err := psync.NewWaitGroup(seg, "group"); return err }),
		x.step("NewValue", func() error { _, err := value.New(seg, "value", [512]uint64{1}, nil); return err }),
		x.step("NewArray", func() error { _, err := array.New[uint64](seg, "array", 5000, nil); return err }),
		x.step("NewQueue", func() (err error) { numbers, err = ring.NewQueue[[64]byte](seg, "numbers", 500, nil); return err }),
		x.step("NewQueue of strings", func() (err error) {
			texts, err = ring.NewQueue(seg, "texts", 500, &ring.QueueOptions[string]{Storage: 1 << 18})
			return err
		}),
		x.step("NewPipe", func() (err error) {
			a, b, err = ring.NewPipe(seg, "pipe", &ring.PipeOptions{Capacity: 1 << 14})
			return err
		}),
		x.step("NewBroadcast", func() (err error) {
			news, err = ring.NewBroadcast[string](seg, "news", 64, &ring.BroadcastOptions{Storage: 1 << 18})
			return err
		}),
	)
	if err != nil {
		return err
	}
	defer second.Close()
	for i := range 300 { // more than the first parts of the directory and of the index have space for
		err = try(err, x.step("NewUint64", func() error {
			n, err := value.NewUint64(seg, fmt.Sprint("number ", i), uint64(i), nil)
			if err == nil {
				err = n.Close()
			}
			return err
		}))
	}
	err = try(err,
		x.without("Subscribe", func() (err error) { reader, err = news.Subscribe(nil); return err }),
		x.without("fill a queue", func() error {
			for range numbers.Cap() {
				if err := numbers.TryPut([64]byte{1}); err != nil {
					return err
				}
			}
			return nil
		}),
		x.without("send and receive", func() error { return sendAndReceive(x.ctx, a, b) }),
	)
	for _, n := range []int{1, 1000, 5000, 70_000, 100_000} {
		text := strings.Repeat("x", n)
		err = try(err,
			x.step("Put of a string", func() error { return texts.TryPut(text) }),
			x.step("Publish of a string", func() error { return news.TryPublish(text) }),
			x.without("Get and Receive", func() error {
				got, err := texts.TryGet()
				told, err2 := reader.TryReceive()
				if got != text || told != text {
					return fmt.Errorf("%d and %d bytes, want %d: %w", len(got), len(told), n, try(err, err2))
				}
				return nil
			}))
	}
	if err != nil {
		return err
	}
	return try(
		x.without("wait", func() error { return waits(x.ctx, lock, second, event, texts) }),
		x.without("a child", func() error {
			call, err := work.Start(x.ctx, job{Op: "in full memory", Name: "scarce", N: 150_000}, &proc.Options{Stderr: os.Stderr})
			if err != nil {
				return err
			}
			_, err = call.Result(x.ctx)
			return try(err, call.Close())
		}),
		x.without("Inspect", func() error { _, err := seg.Inspect(); return err }),
		x.without("Remove", func() error { return try(seg.Remove("array"), seg.Remove("numbers"), numbers.Close()) }),
		x.step("New again", func() error { _, err := array.New[uint64](seg, "array", 20_000, nil); return err }),
		x.without("Close", func() error { return try(second.Close(), seg.Close(), shm.Unlink("scarce")) }),
	)
}

// sendAndReceive sends messages, also one that is longer than the pipe's ring.
func sendAndReceive(ctx context.Context, a, b *ring.Conn) error {
	for _, n := range []int{0, 100, 10_000, 100_000} {
		sent := make(chan error, 1)
		go func() { sent <- a.Send(ctx, make([]byte, n)) }()
		got, err := b.Receive(ctx)
		if err = errors.Join(err, <-sent); err != nil || len(got) != n {
			return fmt.Errorf("%d bytes of %d: %w", len(got), n, err)
		}
	}
	return nil
}

// waits blocks in each way, until a context ends or a wake comes.
func waits(ctx context.Context, lock *psync.Lock, second *shm.Segment, event *psync.Event, texts *ring.Queue[string]) error {
	other, err := psync.OpenLock(second, "lock")
	if err != nil {
		return err
	}
	if err := other.Acquire(ctx); err != nil {
		return err
	}
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	_, getErr := texts.Get(short)
	var text string
	_, selectErr := poll.Select(short, event, texts.GetCase(&text))
	for i, err := range []error{lock.Acquire(short), event.Wait(short), getErr, selectErr} {
		if !errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("wait %d: %w, want the end of the context", i, err)
		}
	}
	woken := make(chan error, 1)
	go func() { woken <- lock.Acquire(ctx) }()
	if err := other.Release(); err != nil {
		return err
	}
	return errors.Join(<-woken, lock.Release(), other.Close())
}

// TestEveryPage makes and uses all kinds of objects while /dev/shm has no free page, then one, and so on. What needs memory
// fails with ErrNoSpace, and may be tried again; what needs none succeeds; no process dies of SIGBUS.
func TestEveryPage(t *testing.T) {
	if got := runInSmallMemory(t, "nearly full"); !strings.HasPrefix(got, "ok ") {
		t.Error(got)
	} else {
		t.Log(got)
	}
}
