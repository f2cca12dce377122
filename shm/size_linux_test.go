package shm_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	"github.com/seed-2e7ecdea/mp/internal/object"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

func init() {
	ops["close with little data"] = closeWithLittleData
	ops["use own"] = useOwn
}

// rlimitData is RLIMIT_DATA, which bounds the private writable memory of a process.
const rlimitData = 2

// closeWithLittleData acquires a lock in the named segment and closes the segment twice. The
// segment is larger than all the private memory that the process may have.
func closeWithLittleData(ctx context.Context, j job) (string, error) {
	seg, err := shm.Open(j.Text, nil)
	if err != nil {
		return "", err
	}
	lock, err := psync.OpenLock(seg, "lock")
	if err != nil {
		return "", err
	}
	if err := lock.Acquire(ctx); err != nil {
		return "", err
	}
	limit := syscall.Rlimit{Cur: 1 << 20, Max: 1 << 20} // less than it has already
	if err := syscall.Setrlimit(rlimitData, &limit); err != nil {
		return "", err
	}
	if err := seg.Close(); err != nil {
		return "", err
	}
	return "closed", seg.Close()
}

// TestCloseWithLittleData shows that Close takes no private memory in proportion to the segment's
// size, and that the other parties then learn that the process has left.
func TestCloseWithLittleData(t *testing.T) {
	n := name(t)
	seg := Closing(t, Must(shm.Create(n, 512<<20, nil))(t))
	lock := Closing(t, Must(psync.NewLock(seg, "lock", nil))(t))
	p := startPlain(t, "close with little data", n)
	if got := p.line(t); got != "closed" {
		t.Fatalf("the process says %q", got)
	}
	WantError(t, "Acquire", lock.Acquire(Within(t)), psync.ErrOwnerDied)
	if got := Must(seg.Parties())(t); got != 1 {
		t.Errorf("%d parties, want 1", got)
	}
}

// TestSizeZero shows that size 0 makes an anonymous segment with a large address range.
func TestSizeZero(t *testing.T) {
	seg := Closing(t, Must(shm.Anonymous(0, nil))(t))
	size := Must(seg.Size())(t)
	t.Logf("%d MiB", size>>20)
	if least := 1 << 26; size < least {
		t.Errorf("%d bytes of space, want at least %d", size, least)
	}
	Must(newPlain(seg, "small", 1))(t)
	big := Must(newPlain(seg, "big", 1<<20))(t)
	if b := big.Bytes(); b[0] != 0 || b[len(b)-1] != 0 {
		t.Error("an object is not zero")
	}
	WantError(t, "size 0 and a name", Second(shm.Create(name(t), 0, nil)), shm.ErrSize)
}

// useOwn uses the child's own segment, and a lock in the own segment of its parent.
func useOwn(_ context.Context, j job) (string, error) {
	if _, err := openPlain(nil, "mine"); !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("a child finds its parent's object in its own segment: %v", err)
	}
	if err := j.Lock.Release(); !errors.Is(err, psync.ErrNotHeld) {
		return "", fmt.Errorf("Release of the parent's lock: %v", err)
	}
	_, err := newPlain(nil, "mine", 1)
	return "used", err
}

// TestOwnSegment shows that nil is the program's own segment.
func TestOwnSegment(t *testing.T) {
	var own *shm.Segment
	o := Must(newPlain(nil, "mine", 100))(t)
	if got := Must(own.ID())(t); got != o.Handle(0).Segment || own.Handle().Segment != got {
		t.Errorf("the object lies in segment %v, nil is %v", o.Handle(0).Segment, got)
	}
	Must(openPlain(nil, "mine"))(t)
	Want(t, "name", own.Name(), "")
	Want(t, "parties beside another attachment", Must(Attach(t, own).Parties())(t), 2)
	lock := Closing(t, Must(psync.NewLock(nil, "", nil))(t))
	WantNil(t, "Acquire", lock.Acquire(Within(t)))
	cond := Closing(t, Must(psync.NewCondition(nil, "", lock, nil))(t))
	WantNil(t, "Notify", cond.Notify(1))
	if got := run(t, job{Op: "use own", Lock: lock}); got != "used" {
		t.Errorf("the child says %q", got)
	}

	// A condition that is made in nil lies in the segment of its lock.
	seg := Closing(t, Must(shm.Anonymous(1<<20, nil))(t))
	elsewhere := Closing(t, Must(psync.NewLock(seg, "", nil))(t))
	Closing(t, Must(psync.NewCondition(nil, "", elsewhere, nil))(t))

	decoded := new(shm.Segment)
	WantNil(t, "UnmarshalText", decoded.UnmarshalText(Must(own.MarshalText())(t)))
	WantNil(t, "Close", errors.Join(own.Close(), decoded.Close()))
	if _, err := object.Open(nil, kindPlain, "mine", plainPrint); err != nil {
		t.Errorf("after Close of nil: %v", err)
	}
	WantNil(t, "Remove", own.Remove("mine"))
}
