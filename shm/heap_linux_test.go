package shm_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/object"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/shm"
)

// hammerDirectory lets parties make, open, use and remove objects of a few names concurrently. All
// bytes of an object's memory have one value, which depends on its name. Other bytes would show
// that two objects had the same memory.
func hammerDirectory(t *testing.T, seg *shm.Segment, parties int, d time.Duration) {
	t.Helper()
	end := time.Now().Add(d)
	var all sync.WaitGroup
	for p := range parties {
		s := Attach(t, seg)
		for g := range 2 {
			all.Go(func() {
				r := rand.New(rand.NewPCG(uint64(p), uint64(g)))
				for time.Now().Before(end) {
					if err := touchDirectory(s, r); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	Await(t, done, "hammered directory")
	empty(t, seg)
}

func touchDirectory(s *shm.Segment, r *rand.Rand) error {
	// Each name has its own length, and its objects their own size.
	k := r.IntN(4)
	n := fmt.Sprintf("%0*d", 3*k+1, k)
	size := 8 * (k + 1)
	switch r.IntN(10) {
	case 0, 1, 2:
		o, err := object.New(s, object.Spec{Kind: kindPlain, Name: n, Size: size, Fingerprint: plainPrint, Init: func(mem []byte) error {
			for i := range mem {
				if mem[i] != 0 {
					return fmt.Errorf("new %s: byte %d is %d", n, i, mem[i])
				}
				mem[i] = byte(k + 1)
			}
			return nil
		}})
		if err == nil {
			err = check(o, n, k, size)
		}
		if err != nil && !errors.Is(err, fs.ErrExist) && !errors.Is(err, shm.ErrNoSpace) {
			return err
		}
	case 3, 4:
		if err := s.Remove(n); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	case 5:
		for o := range s.Objects() {
			if len(o.Name)%3 != 1 || o.Size != 8*(len(o.Name)/3+1) {
				return fmt.Errorf("no such object was made: %+v", o)
			}
		}
	default:
		o, err := openPlain(s, n)
		if err == nil {
			err = check(o, n, k, size)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// check compares the memory of an object with its value several times.
func check(o object.Object, n string, k, size int) error {
	defer o.Close()
	if len(o.Bytes()) != size {
		return fmt.Errorf("opened %s: %d bytes, want %d", n, len(o.Bytes()), size)
	}
	for range 3 {
		for i, b := range o.Bytes() {
			if b != byte(k+1) {
				return fmt.Errorf("%s: byte %d is %d, want %d", n, i, b, k+1)
			}
		}
		runtime.Gosched()
	}
	runtime.KeepAlive(o)
	return nil
}

func TestHammerDirectory(t *testing.T) {
	eachSegment(t, 1<<13, func(t *testing.T, seg *shm.Segment) {
		hammerDirectory(t, seg, 4, 300*time.Millisecond)
	})
}

// TestCloseUnderUse shows that methods that run during Close return ErrClosed or have had their
// effect, never fault, and leave the segment intact for the other parties (M06).
func TestCloseUnderUse(t *testing.T) {
	eachSegment(t, 1<<13, func(t *testing.T, seg *shm.Segment) {
		for round := range 30 {
			s := Must(object.Attach(seg))(t)
			var users sync.WaitGroup
			for g := range 4 {
				users.Go(func() {
					r := rand.New(rand.NewPCG(uint64(round), uint64(g)))
					for {
						err := touchDirectory(s, r)
						if err == nil {
							_, err = s.Parties()
						}
						if err == nil && r.IntN(20) == 0 {
							var o *shm.Segment
							if o, err = object.Attach(s); err == nil {
								err = o.Close()
							}
						}
						if errors.Is(err, shm.ErrClosed) {
							return
						}
						// An error after Close means nothing, because the memory was replaced.
						if _, closed := s.Parties(); err != nil && !errors.Is(closed, shm.ErrClosed) {
							t.Error(err)
							return
						}
					}
				})
			}
			time.Sleep(time.Duration(round) * 100 * time.Microsecond)
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			done := make(chan struct{})
			go func() { users.Wait(); close(done) }()
			Await(t, done, "users of a closed segment")
			if err := touchDirectory(seg, rand.New(rand.NewPCG(1, 1))); err != nil {
				t.Errorf("after another party's Close: %v", err)
			}
		}
		empty(t, seg)
		// All space is free again.
		size := Must(seg.Size())(t)
		if _, err := newPlain(seg, "whole", size); err != nil {
			t.Errorf("space was lost: %v", err)
		}
		if n := Must(seg.Parties())(t); n != 1 {
			t.Errorf("%d parties, want 1", n)
		}
	})
}

// TestHeapDeaths shows that the holds of a dead party do not count, and that the space of its
// objects is free, once its death is announced.
func TestHeapDeaths(t *testing.T) {
	seg := Heap(t, 1<<12)
	for round := range 20 {
		victim := Must(object.Attach(seg))(t)
		x := Must(newPlain(victim, "x", 64))(t)
		x.Hold(1)
		mine := Must(openPlain(seg, "x"))(t)
		if !mine.Held(1) {
			t.Fatal("not held")
		}
		dead := Must(object.Drop(victim))(t)
		if !mine.Held(1) {
			t.Error("dead before it was announced")
		}
		if err := object.Announce(seg, dead); err != nil {
			t.Fatal(err)
		}
		if mine.Held(1) {
			t.Error("held by the dead")
		}
		mine.Close()
		if err := seg.Remove("x"); err != nil {
			t.Fatal(err)
		}
		if n := Must(seg.Parties())(t); n != 1 {
			t.Errorf("round %d: %d parties, want 1", round, n)
		}
	}
	Must(newPlain(seg, "whole", 1<<12))(t)
}
