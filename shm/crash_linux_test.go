package shm_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/look"
	"github.com/seed-2e7ecdea/mp/internal/object"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

func init() {
	ops["create"] = func(_ context.Context, j job) (string, error) {
		_, err := shm.Create(j.Name, 1<<16, &shm.Options{Parties: 3})
		return "", err
	}
	ops["open"] = func(_ context.Context, j job) (string, error) {
		_, err := shm.Open(j.Name, nil)
		return "", err
	}
	// new makes the object "x" of N bytes in the named segment. Its first bytes are "new".
	ops["new"] = func(_ context.Context, j job) (string, error) {
		seg, err := shm.Open(j.Name, nil)
		if err != nil {
			return "", err
		}
		_, err = object.New(seg, object.Spec{Kind: kindPlain, Name: "x", Size: j.N, Fingerprint: plainPrint, Init: func(mem []byte) error {
			copy(mem, "new")
			return nil
		}})
		return "", err
	}
	ops["remove"] = func(_ context.Context, j job) (string, error) {
		seg, err := shm.Open(j.Name, nil)
		if err != nil {
			return "", err
		}
		return "", seg.Remove("x")
	}
}

// crashAt starts a child that is killed at the point. It fails the test if the child was not.
func crashAt(t *testing.T, point string, j job) {
	t.Helper()
	p := StartWith(t, work, j, &proc.Options{Env: []string{crash.Env + "=" + point}})
	Killed(t, p)
}

// TestCrashCreate kills the maker of a segment. The name is then that of a complete segment, or
// does not exist.
func TestCrashCreate(t *testing.T) {
	NeedCrashPoints(t)
	points := []string{crash.AttachLocked.String(), crash.AttachWritten.String()}
	for p := range crash.Points(crash.SegmentSized, crash.SegmentLinked) {
		points = append(points, p.String())
	}
	for _, point := range points {
		t.Run(point, func(t *testing.T) {
			n := name(t)
			crashAt(t, point, job{Op: "create", Name: n})
			if point == crash.SegmentLinked.String() {
				seg := Closing(t, Must(shm.Open(n, nil))(t))
				if got := Must(seg.Parties())(t); got != 1 {
					t.Errorf("%d parties, want 1", got)
				}
				Must(newPlain(seg, "x", Must(seg.Size())(t)))(t)
				for range 2 { // the killed party's line is free
					Attach(t, seg)
				}
				return
			}
			_, err := os.Lstat(filePath(n))
			WantError(t, "the name", err, fs.ErrNotExist)
			Closing(t, Must(shm.Create(n, 1024, nil))(t))
		})
	}
}

// TestCrashAttach kills a process that is attaching. Its line can then be used again, and Parties
// does not count it.
func TestCrashAttach(t *testing.T) {
	NeedCrashPoints(t)
	for p := range crash.Points(crash.AttachLocked, crash.AttachWritten) {
		t.Run(p.String(), func(t *testing.T) {
			seg := Must(shm.Create(name(t), 1<<12, &shm.Options{Parties: 3}))(t)
			Closing(t, seg)
			for range 5 { // more often than there are lines
				crashAt(t, p.String(), job{Op: "open", Name: seg.Name()})
			}
			a, b := Attach(t, seg), Closing(t, Must(shm.Open(seg.Name(), nil))(t))
			for _, s := range []*shm.Segment{seg, a, b} {
				if got := Must(s.Parties())(t); got != 3 {
					t.Errorf("%d parties, want 3", got)
				}
			}
		})
	}
}

// TestCrashObject kills a process that makes or removes an object. The object then exists or does
// not, its space is not lost, and processes that wait for the directory's lock acquire it.
func TestCrashObject(t *testing.T) {
	NeedCrashPoints(t)
	const space = 1 << 17
	for p := range crash.Points(crash.ObjectClaimed, crash.ObjectFreed) {
		t.Run(p.String(), func(t *testing.T) {
			seg := named(t, space, nil)
			op, there := "new", p == crash.ObjectReady
			if p >= crash.ObjectRemoving {
				op = "remove"
				Must(newPlain(seg, "x", 3000))(t).Close()
			}
			// Other parties compete for the directory's lock all the time.
			stop := make(chan struct{})
			var others sync.WaitGroup
			for g := range 2 {
				s := Attach(t, seg)
				others.Go(func() {
					for i := 0; ; i++ {
						select {
						case <-stop:
							return
						default:
						}
						n := fmt.Sprintf("other%d", g)
						if _, err := newPlain(s, n, 100); err != nil && !errors.Is(err, shm.ErrNoSpace) {
							t.Error(err)
							return
						} else if err == nil {
							if err := s.Remove(n); err != nil {
								t.Error(err)
								return
							}
						}
						time.Sleep(100 * time.Microsecond)
					}
				})
			}
			crashAt(t, p.String(), job{Op: op, Name: seg.Name(), N: 90_000})
			time.AfterFunc(20*time.Millisecond, func() { close(stop) })
			done := make(chan struct{})
			go func() { others.Wait(); close(done) }()
			Await(t, done, "parties that wait for the directory's lock")

			x, err := openPlain(seg, "x")
			switch {
			case there && (err != nil || string(x.Bytes()[:4]) != "new\x00" || len(x.Bytes()) != 90_000):
				t.Errorf("the object that was ready: %v", err)
			case !there && !errors.Is(err, fs.ErrNotExist):
				t.Errorf("the object that was not ready: %v", err)
			}
			if there {
				_, err := newPlain(seg, "x", 10)
				WantError(t, "NewObject of the same name", err, fs.ErrExist)
				x.Close()
				if err := seg.Remove("x"); err != nil {
					t.Fatal(err)
				}
			}
			x = Must(newPlain(seg, "x", 10))(t)
			x.Close()
			empty(t, seg)
			whole := Must(newPlain(seg, "whole", space))(t)
			for i, b := range whole.Bytes() {
				if b != 0 {
					t.Fatalf("byte %d of new memory is %d", i, b)
				}
			}
		})
	}
}

// TestCrashIndex kills a maker that rebuilds the index of names. Names are found all the same, and
// the next maker rebuilds the index.
func TestCrashIndex(t *testing.T) {
	NeedCrashPoints(t)
	seg := named(t, 1<<20, nil)
	// The first name makes the child build the index.
	crashAt(t, crash.IndexRebuilding.String(), job{Op: "new", Name: seg.Name(), N: 100})
	_, err := openPlain(seg, "x")
	WantError(t, "the object that was not ready", err, fs.ErrNotExist)
	const objects = 700 // so many that the index grows once more
	for i := range objects {
		Must(newPlain(seg, fmt.Sprint(i), 10))(t).Close()
	}
	for i := range objects {
		Must(openPlain(seg, fmt.Sprint(i)))(t).Close()
	}
	WantError(t, "name that is taken", Second(newPlain(seg, "5", 10)), fs.ErrExist)
	empty(t, seg)
	Must(newPlain(seg, "whole", 1<<20))(t)
}

// TestCrashRecycle kills a maker that takes the space of freed objects as the next run. None of the
// space is lost, and none is used twice.
func TestCrashRecycle(t *testing.T) {
	NeedCrashPoints(t)
	for p := range crash.Points(crash.RecycleBegun, crash.RecycleMoved) {
		t.Run(p.String(), func(t *testing.T) {
			const size = 64 << 10
			seg := named(t, size, nil)
			keep := Must(newPlain(seg, "keep", 1024))(t)
			fill(t, seg, "k", 1024)
			for i := range 40 {
				WantNil(t, "Remove", seg.Remove(fmt.Sprint("k", i)))
			}
			for { // until the garbage collector has collected the closed objects
				runtime.GC()
				if shm.Closing(seg) == 0 {
					break
				}
			}
			crashAt(t, p.String(), job{Op: "new", Name: seg.Name(), N: 2048})
			more := Must(newPlain(seg, "more", 40<<10))(t)
			for i := range more.Bytes() {
				more.Bytes()[i] = 1
			}
			if keep.Bytes()[0] != 0 || fill(t, seg, "l", 1024) != 0 {
				t.Error("space was used twice")
			}
			more.Close()
			keep.Close()
			empty(t, seg)
			Must(newPlain(seg, "whole", size))(t)
		})
	}
}

// TestCrashFirstRun kills the maker of the first object of a segment as it takes the whole space as the
// run. None of the space is lost.
func TestCrashFirstRun(t *testing.T) {
	NeedCrashPoints(t)
	const size = 64 << 10
	seg := named(t, size, nil)
	crashAt(t, crash.RunPlaced.String(), job{Op: "new", Name: seg.Name(), N: 2048})
	small := Must(newPlain(seg, "small", 1024))(t)
	small.Close()
	empty(t, seg)
	Must(newPlain(seg, "whole", size))(t)
}

// TestCrashAnnounce kills a process that announces another one's death. Waiters learn of the first
// death all the same. That death is an exec, which no pidfd reports.
func TestCrashAnnounce(t *testing.T) {
	NeedCrashPoints(t)
	if !look.Bounded {
		t.Skip("nobody checks the locks of the parties")
	}
	for p := range crash.Points(crash.AnnounceDead, crash.AnnounceMoved) {
		t.Run(p.String(), func(t *testing.T) {
			for try := 1; ; try++ {
				if crashAnnouncer(t, p) {
					return
				}
				// Another party's scan found the death before the announcer did.
				if try == 20 {
					t.Fatal("the announcer has never come to announce")
				}
			}
		})
	}
}

func crashAnnouncer(t *testing.T, p crash.Point) bool {
	seg := Must(shm.Create(name(t), 1<<12, nil))(t)
	defer seg.Close()
	cells, lock := newCells(t, seg), Must(psync.NewLock(seg, "", nil))(t)
	victim := Start(t, work, job{Op: "exec", Cells: cells, Lock: lock})
	defer Kill(t, victim)
	for lock.TryAcquire() == nil {
		if err := lock.Release(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	// The waiter first scans the parties a second after it has begun to wait.
	waiter := make(chan error, 1)
	go func() { waiter <- lock.Acquire(Within(t)) }()
	time.Sleep(20 * time.Millisecond)
	cells.Set(cellGo, 1)
	for { // until the victim has called exec
		if comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", victim.PID())); string(comm) == "sleep\n" {
			break
		}
		time.Sleep(time.Millisecond)
	}
	announcer := StartWith(t, work, job{Op: "open", Name: seg.Name()}, &proc.Options{Env: []string{crash.Env + "=" + p.String()}})
	Await(t, announcer.Done(), "the announcer")
	code, _ := announcer.ExitCode()
	if err := Await(t, waiter, "a waiter for the lock of the dead owner"); !errors.Is(err, psync.ErrOwnerDied) {
		t.Errorf("Acquire: %v, want ErrOwnerDied", err)
	}
	recovered(t, lock)
	if n := Must(seg.Parties())(t); n > 2 { // a later scan may find that the announcer is dead
		t.Errorf("%d parties, want 1 or 2", n)
	}
	return code == -int(syscall.SIGKILL)
}
