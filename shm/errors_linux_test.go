package shm_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-2e7ecdea/mp/internal/object"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// TestErrorTable provokes each error of the package.
func TestErrorTable(t *testing.T) {
	for name, f := range map[string]func(t *testing.T) []Failure{
		"names":           nameErrors,
		"segments":        segmentErrors,
		"segment_files":   segmentFileErrors,
		"closed_segments": closedSegmentErrors,
		"objects":         objectErrors,
		"handles":         handleErrors,
		"children":        childErrors,
		"blocks":          blockErrors,
		"other_files":     otherFileErrors,
	} {
		t.Run(name, func(t *testing.T) { CheckFailures(t, f(t)...) })
	}
}

// quoted returns kind and name as they are in an error's text.
func quoted(kind, name string) string { return kind + ` "` + name + `"` }

func nameErrors(t *testing.T) []Failure {
	long := strings.Repeat("n", 256)
	var all []Failure
	for _, n := range []string{"", "..", "a/b", long} {
		object := `"` + n + `"`
		all = append(all,
			Fails("create segment", object, shm.ErrName, func() error { return Second(shm.Create(n, 1, nil)) }),
			Fails("open segment", object, shm.ErrName, func() error { return Second(shm.Open(n, nil)) }),
			Fails("create block", object, shm.ErrName, func() error { return Second(shm.CreateBlock(n, 1)) }),
			Fails("open block", object, shm.ErrName, func() error { return Second(shm.OpenBlock(n)) }),
			Fails("unlink", object, shm.ErrName, func() error { return shm.Unlink(n) }),
		)
	}
	seg := Anonymous(t, 1024)
	return append(all,
		// The remedy for an empty name is another function.
		Fails("create segment", "; Anonymous makes", shm.ErrName, func() error { return Second(shm.Create("", 1, nil)) }),
		Fails("create block", "; AnonymousBlock makes", shm.ErrName, func() error { return Second(shm.CreateBlock("", 1)) }),
		Fails("new", quoted("lock", long), shm.ErrName, func() error { return Second(psync.NewLock(seg, long, nil)) }),
	)
}

func segmentErrors(t *testing.T) []Failure {
	const anonymous = "anonymous segment"
	taken, free := named(t, 1024, nil).Name(), name(t)
	full := named(t, 1024, &shm.Options{Parties: 1})
	anonymousFull := Closing(t, Must(shm.Anonymous(1024, &shm.Options{Parties: 1}))(t))
	create := func(n string, size int, o *shm.Options) func() error {
		return func() error { return Second(shm.Create(n, size, o)) }
	}
	unnamed := func(size int, o *shm.Options) func() error {
		return func() error { return Second(shm.Anonymous(size, o)) }
	}
	all := []Failure{
		Fails("create", quoted("segment", taken), fs.ErrExist, create(taken, 1024, nil)),
		Fails("create", quoted("segment", free), shm.ErrSize, create(free, 0, nil)),
		Fails("create", quoted("segment", free), shm.ErrSize, create(free, 1, &shm.Options{Parties: 1024})),
		Fails("create", quoted("segment", free), shm.ErrSize, create(free, 1, &shm.Options{Objects: 1<<20 + 1})),
		Fails("make", anonymous, shm.ErrSize, unnamed(-1, nil)),
		Fails("make", anonymous, shm.ErrSize, unnamed(1<<(30+32*(^uint(0)>>63)), nil)),
		Fails("make", anonymous, shm.ErrSize, unnamed(1, &shm.Options{Parties: -1})),
		Fails("make", anonymous, shm.ErrSize, unnamed(1, &shm.Options{Objects: -1})),
		Fails("open", quoted("segment", full.Name()), shm.ErrParties, func() error { return Second(shm.Open(full.Name(), nil)) }),
		Fails("attach", quoted("segment", full.Name()), shm.ErrParties, func() error { return Second(object.Attach(full)) }),
		Fails("attach", anonymous, shm.ErrParties, func() error { return Second(object.Attach(anonymousFull)) }),
		Fails("heap", "segment", shm.ErrSize, func() error { return Second(shm.Heap(0)) }),
	}
	if size := uint64(1) << 60; uint64(^uint(0)>>1) > size {
		all = append(all, Fails("make", anonymous, shm.ErrNoSpace, unnamed(int(size), nil)))
	}
	return all
}

// segmentFileErrors opens files that are not a segment, or a damaged one.
func segmentFileErrors(t *testing.T) []Failure {
	valid := image(t)
	var all []Failure
	open := func(n string, is error) {
		all = append(all, Fails("open", quoted("segment", n), is, func() error { return Second(shm.Open(n, nil)) }))
		all = append(all, Fails("inspect", quoted("segment", n), is, func() error { return Second(shm.Inspect(n)) }))
	}
	open(name(t), fs.ErrNotExist)
	for _, f := range []struct {
		is   error
		file func(b []byte) []byte
	}{
		{shm.ErrForeign, func([]byte) []byte { return []byte("plain bytes") }},
		{shm.ErrForeign, func(b []byte) []byte { put32(b, offOrder, 0x04030201); return b }},
		{shm.ErrVersion, func(b []byte) []byte { put32(b, offVersion, 4); return b }},
		{shm.ErrTruncated, func(b []byte) []byte { return b[:headerSize-1] }},
		{shm.ErrTruncated, func(b []byte) []byte { return b[:len(b)-1] }},
		{shm.ErrCorrupt, func(b []byte) []byte { b[offSum]++; return b }},
		{shm.ErrCorrupt, func(b []byte) []byte { put64(b, offTotal, imageBase); sum(b); return b }},
	} {
		n := name(t)
		WantNil(t, "WriteFile", os.WriteFile(filePath(n), f.file(append([]byte(nil), valid...)), 0o600))
		open(n, f.is)
	}
	return all
}

func closedSegmentErrors(t *testing.T) []Failure {
	gone := Must(shm.Create(name(t), 1024, nil))(t)
	const handle = "mp1-"
	WantNil(t, "Close", gone.Close())
	of := quoted("segment", gone.Name())
	var zero shm.Segment
	open := Anonymous(t, 1024)
	return []Failure{
		Fails("SetWait", "anonymous segment", shm.ErrPolicy, func() error { return open.SetWait(99) }),
		Fails("make", "anonymous segment", shm.ErrPolicy, func() error {
			return Second(shm.Anonymous(1024, &shm.Options{Wait: 99}))
		}),
		Fails("read", "wait policy", shm.ErrPolicy, func() error {
			return new(shm.WaitPolicy).UnmarshalText([]byte("patient"))
		}),
		Fails("ID", of, shm.ErrClosed, func() error { return Second(gone.ID()) }),
		Fails("ID", "anonymous segment", shm.ErrClosed, func() error { return Second(zero.ID()) }),
		Fails("Size", of, shm.ErrClosed, func() error { return Second(gone.Size()) }),
		Fails("Inspect", of, shm.ErrClosed, func() error { return Second(gone.Inspect()) }),
		Fails("Parties", of, shm.ErrClosed, func() error { return Second(gone.Parties()) }),
		Fails("SetWait", of, shm.ErrClosed, func() error { return gone.SetWait(shm.WaitSpin) }),
		Fails("MarshalText", of, shm.ErrClosed, func() error { return Second(gone.MarshalText()) }),
		Fails("Remove", quoted("object", "x"), shm.ErrClosed, func() error { return gone.Remove("x") }),
		Fails("attach", of, shm.ErrClosed, func() error { return Second(object.Attach(gone)) }),
		Fails("child", of, shm.ErrClosed, func() error { return Second(object.NewGrant(gone)) }),
		Fails("new", quoted("lock", "x"), shm.ErrClosed, func() error { return Second(psync.NewLock(gone, "x", nil)) }),
		Fails("open", quoted("lock", "x"), shm.ErrClosed, func() error { return Second(psync.OpenLock(gone, "x")) }),
		Fails("reach", handle, shm.ErrHandle, func() error { return Second(shm.Reach(gone.Handle())) }),
	}
}

func objectErrors(t *testing.T) []Failure {
	small := Closing(t, Must(shm.Anonymous(1<<16, &shm.Options{Objects: 2}))(t))
	Closing(t, Must(psync.NewLock(small, "a", nil))(t))
	Closing(t, Must(ring.NewQueue[uint32](small, "q", 4, nil))(t))
	seg := Anonymous(t, 1024)
	Closing(t, Must(newPlain(seg, "taken", 100))(t))

	damaged := name(t)
	b := image(t)
	put64(b, entry(0)+offSize, 1<<20)
	WantNil(t, "WriteFile", os.WriteFile(filePath(damaged), b, 0o600))
	corrupt := Closing(t, Must(shm.Open(damaged, nil))(t))

	plain := func(seg *shm.Segment, name string, size int) func() error {
		return func() error { return Second(newPlain(seg, name, size)) }
	}
	all := []Failure{
		Fails("new", quoted("lock", "taken"), fs.ErrExist, plain(seg, "taken", 1)),
		Fails("new", quoted("lock", "x"), shm.ErrSize, plain(seg, "x", 0)),
		Fails("new", quoted("lock", "x"), shm.ErrSize, plain(seg, "x", int(^uint(0)>>1))),
		Fails("new", quoted("lock", "x"), shm.ErrNoSpace, plain(seg, "x", 1000)),
		Fails("new", quoted("lock", "x"), shm.ErrNoSpace, plain(small, "x", 1)),
		Fails("new", "lock", shm.ErrNoSpace, plain(small, "", 1)),
		Fails("new", quoted("lock", "x"), shm.ErrCorrupt, plain(corrupt, "x", 1)),
		Fails("new", quoted("queue", "x"), shm.ErrType, func() error { return Second(ring.NewQueue[func()](seg, "x", 1, nil)) }),
		Fails("open", quoted("lock", "x"), fs.ErrNotExist, func() error { return Second(psync.OpenLock(seg, "x")) }),
		Fails("open", quoted("lock", "p"), shm.ErrCorrupt, func() error { return Second(openPlain(corrupt, "p")) }),
		Fails("open", quoted("event", "a"), shm.ErrMismatch, func() error { return Second(psync.OpenEvent(small, "a")) }),
		Fails("open", quoted("queue", "q"), shm.ErrMismatch, func() error { return Second(ring.OpenQueue[uint64](small, "q")) }),
		Fails("Remove", `object "x" of anonymous segment`, fs.ErrNotExist, func() error { return seg.Remove("x") }),
	}
	if testing.Short() {
		return all
	}
	// A method that still uses a closed object keeps the memory from being used again. The maker
	// waits for it, for three seconds.
	busy := named(t, 2048, nil)
	used := Must(newPlain(busy, "x", 2000))(t)
	WantNil(t, "Close", used.Close())
	WantNil(t, "Remove", busy.Remove("x"))
	return append(all, Fails("new", quoted("lock", "y"), shm.ErrNoSpace, func() error {
		defer runtime.KeepAlive(used)
		return Second(newPlain(busy, "y", 2000))
	}))
}

func handleErrors(t *testing.T) []Failure {
	seg := Anonymous(t, 1<<14)
	lock := Closing(t, Must(psync.NewLock(seg, "l", nil))(t))
	l := lock.Handle()
	queue := Closing(t, Must(ring.NewQueue[uint32](seg, "q", 4, nil))(t)).Handle()
	removed := Must(psync.NewLock(seg, "r", nil))(t)
	r := removed.Handle()
	WantNil(t, "Remove", errors.Join(removed.Close(), seg.Remove("r")))
	ended := Must(shm.Anonymous(1024, nil))(t)
	e := Must(psync.NewLock(ended, "", nil))(t).Handle()
	s := ended.Handle()
	WantNil(t, "Close", ended.Close())

	// The only party of this segment is another process.
	full := Must(shm.Create(name(t), 1024, &shm.Options{Parties: 1}))(t)
	f := full.Handle()
	WantNil(t, "Close", full.Close())
	cells := newCells(t, seg)
	Start(t, work, job{Op: "hold", Name: full.Name(), Cells: cells})
	cells.Await(t, cellReady, 1)

	text := func(h shm.Handle) []byte { return []byte(h.String()) }
	return []Failure{
		Fails("read handle", `"mp1-"`, shm.ErrHandle, func() error { return new(shm.Handle).UnmarshalText([]byte("mp1-")) }),
		Fails("open", "segment", shm.ErrHandle, func() error { return new(shm.Segment).UnmarshalText([]byte("x")) }),
		Fails("open", "lock", shm.ErrHandle, func() error { return new(psync.Lock).UnmarshalText([]byte("x")) }),
		Fails("reach", "segment mp1-", shm.ErrHandle, func() error { return Second(shm.Reach(shm.Handle{})) }),
		Fails("reach", "segment "+s.String(), shm.ErrUnreachable, func() error { return Second(shm.Reach(s)) }),
		Fails("reach", "segment "+s.String(), shm.ErrUnreachable, func() error { return new(shm.Segment).UnmarshalText(text(s)) }),
		Fails("reach", "segment "+f.String(), shm.ErrParties, func() error { return Second(shm.Reach(f)) }),
		Fails("open", "lock "+e.String(), shm.ErrUnreachable, func() error { return new(psync.Lock).UnmarshalText(text(e)) }),
		Fails("open", "lock "+r.String(), fs.ErrNotExist, func() error { return new(psync.Lock).UnmarshalText(text(r)) }),
		Fails("open", "lock "+queue.String(), shm.ErrMismatch, func() error { return new(psync.Lock).UnmarshalText(text(queue)) }),
		Fails("open", "event "+l.String(), shm.ErrMismatch, func() error { return new(psync.Event).UnmarshalText(text(l)) }),
	}
}

// childErrors are those of starting a child with a segment in its argument.
func childErrors(t *testing.T) []Failure {
	const child = "pass anonymous segment to a child"
	seg := Anonymous(t, 1024)
	full := Closing(t, Must(shm.Anonymous(1024, &shm.Options{Parties: 1}))(t))
	removed := Must(newPlain(seg, "x", 10))(t)
	r := removed.Handle(0)
	WantNil(t, "Remove", errors.Join(removed.Close(), seg.Remove("x")))
	other := Closing(t, Must(newPlain(Anonymous(t, 1024), "x", 10))(t)).Handle(0)
	heap := Heap(t, 1024)
	grant := func(seg *shm.Segment, holds ...shm.Handle) func() error {
		return func() error { return Second(object.NewGrant(seg, holds...)) }
	}
	// adopt attaches by the file of a segment whose position is at, as a child does.
	mine := named(t, 1024, nil)
	adopt := func(at int64) func() error {
		return func() error {
			f := Must(os.OpenFile(filePath(mine.Name()), os.O_RDWR, 0))(t)
			Must(f.Seek(at, io.SeekStart))(t)
			return Second(object.Adopt(f))
		}
	}
	me := Closing(t, Must(newPlain(mine, "x", 1))(t)).Me()
	return []Failure{
		Fails(child, "", shm.ErrParties, grant(full)),
		Fails(child, r.String(), fs.ErrNotExist, grant(seg, r)),
		Fails(child, other.String(), shm.ErrHandle, grant(seg, other)),
		Fails(child, "heap", errors.ErrUnsupported, grant(heap)),
		Fails("attach a child", "party: 0", shm.ErrHandle, adopt(0)),
		Fails("attach a child", "party", shm.ErrHandle, adopt(int64(me))),
	}
}

func blockErrors(t *testing.T) []Failure {
	n, free, empty := name(t), name(t), name(t)
	b := Closing(t, Must(shm.CreateBlock(n, 10))(t))
	WantNil(t, "WriteFile", os.WriteFile(filePath(empty), nil, 0o600))
	gone := Must(shm.AnonymousBlock(10))(t)
	WantNil(t, "Close", gone.Close())
	const anonymous = "anonymous block"
	of := quoted("block", n)
	buf := make([]byte, 8)
	all := []Failure{
		Fails("create", of, fs.ErrExist, func() error { return Second(shm.CreateBlock(n, 10)) }),
		Fails("create", quoted("block", free), shm.ErrSize, func() error { return Second(shm.CreateBlock(free, 0)) }),
		Fails("make", anonymous, shm.ErrSize, func() error { return Second(shm.AnonymousBlock(-1)) }),
		Fails("open", quoted("block", free), fs.ErrNotExist, func() error { return Second(shm.OpenBlock(free)) }),
		Fails("open", quoted("block", empty), shm.ErrSize, func() error { return Second(shm.OpenBlock(empty)) }),
		Fails("open", quoted("block", "nil"), fs.ErrInvalid, func() error { return Second(shm.FileBlock(nil, "nil")) }),
		Fails("ReadAt", of, shm.ErrSize, func() error { return Second(b.ReadAt(buf, -1)) }),
		Fails("WriteAt", of, shm.ErrSize, func() error { return Second(b.WriteAt(buf, -1)) }),
		Fails("WriteAt", of, io.ErrShortWrite, func() error { return Second(b.WriteAt(buf, 5)) }),
		Fails("ReadAt", anonymous, shm.ErrClosed, func() error { return Second(gone.ReadAt(buf, 0)) }),
		Fails("WriteAt", anonymous, shm.ErrClosed, func() error { return Second(gone.WriteAt(buf, 0)) }),
		Fails("Bytes", anonymous, shm.ErrClosed, func() error { return Second(gone.Bytes()) }),
		Fails("File", anonymous, shm.ErrClosed, func() error { return Second(gone.File()) }),
	}
	var system syscall.Statfs_t
	WantNil(t, "statfs", syscall.Statfs("/dev/shm", &system))
	if limit := int64(system.Blocks) * int64(system.Bsize); limit > 0 && limit < 1<<40 && uint64(^uint(0)) > 1<<60 {
		size := int(limit) * 2
		all = append(all,
			Fails("create", quoted("block", free), shm.ErrNoSpace, func() error { return Second(shm.CreateBlock(free, size)) }),
			Fails("create", quoted("block", free), syscall.ENOSPC, func() error { return Second(shm.CreateBlock(free, size)) }))
	}
	return all
}

// otherFileErrors are those of names that are not a regular file, or one of another user.
func otherFileErrors(t *testing.T) []Failure {
	dir, fifo, link, denied, missing := name(t), name(t), name(t), named(t, 1024, nil).Name(), name(t)
	WantNil(t, "Mkdir", os.Mkdir(filePath(dir), 0o700))
	WantNil(t, "Mkfifo", syscall.Mkfifo(filePath(fifo), 0o600))
	WantNil(t, "Symlink", os.Symlink(filePath(denied), filePath(link)))
	t.Cleanup(func() {
		for _, n := range []string{dir, fifo, link} {
			os.Remove(filePath(n))
		}
	})
	all := []Failure{
		Fails("unlink", `"`+missing+`"`, fs.ErrNotExist, func() error { return shm.Unlink(missing) }),
	}
	for n, is := range map[string]error{dir: syscall.EISDIR, fifo: syscall.EINVAL, link: syscall.ELOOP} {
		all = append(all,
			Fails("open", quoted("segment", n), is, func() error { return Second(shm.Open(n, nil)) }),
			Fails("open", quoted("block", n), is, func() error { return Second(shm.OpenBlock(n)) }),
			Fails("unlink", `"`+n+`"`, shm.ErrForeign, func() error { return shm.Unlink(n) }),
		)
	}
	if os.Geteuid() == 0 {
		const nobody = 65534
		all = append(all,
			Fails("open", quoted("segment", denied), fs.ErrPermission, as(t, nobody, func() error { return Second(shm.Open(denied, nil)) })),
			Fails("open", quoted("block", denied), fs.ErrPermission, as(t, nobody, func() error { return Second(shm.OpenBlock(denied)) })),
			Fails("unlink", `"`+denied+`"`, fs.ErrPermission, as(t, nobody, func() error { return shm.Unlink(denied) })),
		)
	}
	return all
}

// as returns f with the access to files that the user with that ID has.
func as(t *testing.T, user int, f func() error) func() error {
	return func() error {
		runtime.LockOSThread() // the ID is this thread's
		defer runtime.UnlockOSThread()
		WantNil(t, "setfsuid", syscall.Setfsuid(user))
		defer syscall.Setfsuid(0)
		return f()
	}
}
