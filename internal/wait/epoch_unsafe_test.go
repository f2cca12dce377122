//go:build linux

package wait

import (
	"context"
	"sync/atomic"
	"syscall"
	"testing"
	"unsafe"
)

// slowTaker takes its token only when it may.
type slowTaker struct {
	taker
	may, found chan struct{}
}

func (s *slowTaker) Try() (bool, error) {
	if s.b.tokens.Load() > 0 {
		s.found <- struct{}{}
		<-s.may
	}
	return s.taker.Try()
}

// The hub must not look at the epoch of a segment in which nobody of its
// places waits any more: it may be unmapped.
func TestHubLetsEpochGo(t *testing.T) {
	page, err := syscall.Mmap(-1, 0, 4096, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED|syscall.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	epochA := (*atomic.Uint32)(unsafe.Pointer(&page[0]))
	epochB := new(atomic.Uint32)
	c := newCrowd(0)
	room := func(e *atomic.Uint32) *Room {
		r := &Room{Epoch: e, Watch: func(uint32) {}, crowd: c}
		r.SetPolicy(Block)
		return r
	}
	a, b := new(basket), new(basket)
	s := &slowTaker{taker{a}, make(chan struct{}), make(chan struct{})}
	doneA, doneB := make(chan error, 1), make(chan error, 1)
	go func() { doneB <- room(epochB).take(context.Background(), taker{b}) }()
	go func() { doneA <- room(epochA).take(context.Background(), s) }()
	inHub := func(n int) func() bool {
		return func() bool { in, _ := c.waiting(); return in == n }
	}
	eventually(t, "both wait", inHub(2))
	a.put(1)
	await(t, s.found, "A sees its token")
	// The hub sleeps again, with the epoch of A, whose queue is empty.
	eventually(t, "hub sleeps", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.hubs) == 1 && c.hubs[0].asleep
	})
	close(s.may)
	if err := await(t, doneA, "A"); err != nil {
		t.Fatal(err)
	}
	// A's segment is closed, nobody refers to it: it is unmapped.
	if err := syscall.Munmap(page); err != nil {
		t.Fatal(err)
	}
	b.put(1)
	if err := await(t, doneB, "B"); err != nil {
		t.Fatal(err)
	}
}
