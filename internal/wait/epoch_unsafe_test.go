//go:build linux

package wait

import (
	"context"
	"sync/atomic"
	"syscall"
	"testing"
	"unsafe"
)

// A slowTaker finds its token, but takes it only when may is closed.
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

// A hub must not read the epoch of a segment once no goroutine waits in the segment: the segment
// may be unmapped.
func TestHubLetsEpochGo(t *testing.T) {
	page, err := syscall.Mmap(-1, 0, 4096, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED|syscall.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	epochA := (*atomic.Uint32)(unsafe.Pointer(&page[0]))
	epochB := new(atomic.Uint32)
	l := newParkingLot(0)
	room := func(e *atomic.Uint32) *Room {
		r := &Room{Epoch: e, Watch: func(uint32) {}, lot: l}
		r.SetPolicy(Block)
		return r
	}
	a, b := new(basket), new(basket)
	s := &slowTaker{taker{a}, make(chan struct{}), make(chan struct{})}
	doneA, doneB := make(chan error, 1), make(chan error, 1)
	go func() { doneB <- room(epochB).take(context.Background(), taker{b}) }()
	go func() { doneA <- room(epochA).take(context.Background(), s) }()
	inHub := func(n int) func() bool {
		return func() bool { in, _ := l.waiting(); return in == n }
	}
	eventually(t, "both wait", inHub(2))
	a.put(1)
	await(t, s.found, "A sees its token")
	// The hub sleeps again. It still has the word queue of A, which is empty, and A's epoch.
	eventually(t, "hub sleeps", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.hubs) == 1 && l.hubs[0].asleep
	})
	close(s.may)
	if err := await(t, doneA, "A"); err != nil {
		t.Fatal(err)
	}
	// A's segment is closed and unmapped.
	if err := syscall.Munmap(page); err != nil {
		t.Fatal(err)
	}
	b.put(1)
	if err := await(t, doneB, "B"); err != nil {
		t.Fatal(err)
	}
}
