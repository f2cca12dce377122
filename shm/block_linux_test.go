package shm_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/shm"
)

func filePath(name string) string { return filepath.Join("/dev/shm", name) }

// badNames are names that no function accepts that takes the name of a file.
var badNames = []struct{ label, name string }{
	{"dot", "."},
	{"dot dot", ".."},
	{"slash", "a/b"},
	{"leading slash", "/a"},
	{"parent", "../a"},
	{"NUL", "a\x00b"},
	{"256 bytes", strings.Repeat("n", 256)},
}

func TestBlock(t *testing.T) {
	t.Run("M01_basics", func(t *testing.T) {
		for _, size := range []int{1, 42, 4095, 4096, 4097, 1<<20 + 1} {
			n := name(t)
			b := Closing(t, Must(shm.CreateBlock(n, size))(t))
			if b.Name() != n || b.Size() != size || len(Must(b.Bytes())(t)) != size {
				t.Errorf("name %q, size %d, %d bytes, want %q and %d", b.Name(), b.Size(), len(Must(b.Bytes())(t)), n, size)
			}
			info := Must(os.Lstat(filePath(n)))(t)
			if info.Size() != int64(size) || info.Mode() != 0o600 {
				t.Errorf("file of %d bytes, mode %v, want %d and 0600", info.Size(), info.Mode(), size)
			}
			if got := Must(os.ReadFile(filePath(n)))(t); !bytes.Equal(got, make([]byte, size)) {
				t.Error("a new block is not zero")
			}
			Must(b.WriteAt([]byte{42}, int64(size-1)))(t)
			other := Closing(t, Must(shm.OpenBlock(n))(t))
			if mem := Must(other.Bytes())(t); len(mem) != size || mem[size-1] != 42 {
				t.Errorf("opened: %d bytes, the last is %d, want %d and 42", len(mem), mem[len(mem)-1], size)
			}
		}
	})
	t.Run("M01_file_contents", func(t *testing.T) {
		n := name(t)
		want := []byte("written by another program")
		if err := os.WriteFile(filePath(n), want, 0o600); err != nil {
			t.Fatal(err)
		}
		b := Closing(t, Must(shm.OpenBlock(n))(t))
		if got := Must(b.Bytes())(t); !bytes.Equal(got, want) {
			t.Errorf("the block is %q, want %q", got, want)
		}
		Must(b.WriteAt([]byte("WRITTEN"), 0))(t)
		if got := Must(os.ReadFile(filePath(n)))(t); string(got) != "WRITTEN by another program" {
			t.Errorf("the file is %q", got)
		}
	})
	t.Run("M02_size", func(t *testing.T) {
		n := name(t)
		for _, size := range []int{0, -1, -1 << 31, int(^uint(0) >> 1), int(^uint(0)>>1) - 1<<20} {
			WantError(t, fmt.Sprint("CreateBlock of size ", size), Second(shm.CreateBlock(n, size)), shm.ErrSize)
			WantError(t, fmt.Sprint("AnonymousBlock of size ", size), Second(shm.AnonymousBlock(size)), shm.ErrSize)
		}
		if err := os.WriteFile(filePath(n), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := shm.OpenBlock(n)
		WantError(t, "OpenBlock of an empty file", err, shm.ErrSize)
	})
	t.Run("M03_existing_name", func(t *testing.T) {
		n := name(t)
		b := Closing(t, Must(shm.CreateBlock(n, 10))(t))
		Must(b.WriteAt([]byte{1}, 0))(t)
		_, err := shm.CreateBlock(n, 20)
		WantError(t, "CreateBlock of a name that is taken", err, fs.ErrExist)
		if got := Must(os.ReadFile(filePath(n)))(t); len(got) != 10 || got[0] != 1 {
			t.Errorf("the block was changed: %v", got)
		}
		_, err = shm.OpenBlock(name(t))
		WantError(t, "OpenBlock of no name", err, fs.ErrNotExist)
	})
	t.Run("M03_one_of_many_creates", func(t *testing.T) {
		n := name(t)
		const tries = 8
		blocks, errs := make(chan *shm.Block, tries), make(chan error, tries)
		for range tries {
			go func() {
				b, err := shm.CreateBlock(n, 10)
				blocks <- b
				errs <- err
			}()
		}
		made := 0
		for range tries {
			if b := Await(t, blocks, "CreateBlock"); b != nil {
				made++
				Closing(t, b)
			}
			if err := <-errs; err != nil {
				WantError(t, "CreateBlock", err, fs.ErrExist)
			}
		}
		if made != 1 {
			t.Errorf("%d of %d creations succeeded", made, tries)
		}
	})
	t.Run("M05_unlink", func(t *testing.T) {
		n := name(t)
		b := Closing(t, Must(shm.CreateBlock(n, 10))(t))
		if err := shm.Unlink(n); err != nil {
			t.Fatal(err)
		}
		WantError(t, "Unlink again", shm.Unlink(n), fs.ErrNotExist)
		if _, err := b.WriteAt([]byte{7}, 3); err != nil || Must(b.Bytes())(t)[3] != 7 {
			t.Errorf("after Unlink the mapping is not usable: %v", err)
		}
		_, err := shm.OpenBlock(n)
		WantError(t, "OpenBlock after Unlink", err, fs.ErrNotExist)
		Closing(t, Must(shm.CreateBlock(n, 20))(t))
	})
	t.Run("M06_after_Close", func(t *testing.T) {
		n := name(t)
		for _, b := range []*shm.Block{Must(shm.AnonymousBlock(10))(t), Must(shm.CreateBlock(n, 10))(t)} {
			for range 2 {
				if err := b.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			}
			_, err := b.Bytes()
			WantError(t, "Bytes", err, shm.ErrClosed)
			_, err = b.File()
			WantError(t, "File", err, shm.ErrClosed)
			_, err = b.ReadAt(make([]byte, 1), 0)
			WantError(t, "ReadAt", err, shm.ErrClosed)
			_, err = b.WriteAt(make([]byte, 1), 0)
			WantError(t, "WriteAt", err, shm.ErrClosed)
			if name := b.Name(); name != "" && name != n || b.Size() != 10 {
				t.Errorf("Name and Size: %q, %d", name, b.Size())
			}
		}
	})
	t.Run("M07_names", func(t *testing.T) {
		for _, tt := range append(badNames[:len(badNames):len(badNames)], struct{ label, name string }{"empty", ""}) {
			t.Run(tt.label, func(t *testing.T) {
				_, err := shm.CreateBlock(tt.name, 10)
				WantError(t, "CreateBlock", err, shm.ErrName)
				_, err = shm.OpenBlock(tt.name)
				WantError(t, "OpenBlock", err, shm.ErrName)
				_, err = shm.Create(tt.name, 10, nil)
				WantError(t, "Create", err, shm.ErrName)
				_, err = shm.Open(tt.name, nil)
				WantError(t, "Open", err, shm.ErrName)
				WantError(t, "Unlink", shm.Unlink(tt.name), shm.ErrName)
			})
		}
		for _, fill := range []string{"n", "ü", " ", "\n", "\xff", "-"} {
			n := name(t)
			n += strings.Repeat(fill, (255-len(n))/len(fill))
			b, err := shm.CreateBlock(n, 10)
			if err != nil {
				t.Errorf("%d bytes of name: %v", len(n), err)
				continue
			}
			Closing(t, b)
			if err := shm.Unlink(n); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("symbolic links", func(t *testing.T) {
		target, link := name(t), name(t)
		b := Closing(t, Must(shm.CreateBlock(target, 10))(t))
		if err := os.Symlink(filePath(target), filePath(link)); err != nil {
			t.Fatal(err)
		}
		defer os.Remove(filePath(link))
		if _, err := shm.OpenBlock(link); err == nil {
			t.Error("OpenBlock followed a link")
		}
		if _, err := shm.Open(link, nil); err == nil {
			t.Error("Open followed a link")
		}
		_, err := shm.CreateBlock(link, 10)
		WantError(t, "CreateBlock", err, fs.ErrExist)
		_, err = shm.Create(link, 10, nil)
		WantError(t, "Create", err, fs.ErrExist)
		dangling := name(t)
		if err := os.Symlink(filePath(name(t)), filePath(dangling)); err != nil {
			t.Fatal(err)
		}
		defer os.Remove(filePath(dangling))
		_, err = shm.CreateBlock(dangling, 10)
		WantError(t, "CreateBlock at a dangling link", err, fs.ErrExist)
		if shm.Unlink(link) == nil {
			t.Error("Unlink removed a link")
		}
		if got := Must(os.ReadFile(filePath(target)))(t); len(got) != b.Size() {
			t.Errorf("the target was changed: %v", got)
		}
	})
	t.Run("other files", func(t *testing.T) {
		dir, fifo := name(t), name(t)
		if err := os.Mkdir(filePath(dir), 0o700); err != nil {
			t.Fatal(err)
		}
		defer os.Remove(filePath(dir))
		if err := syscall.Mkfifo(filePath(fifo), 0o600); err != nil {
			t.Fatal(err)
		}
		defer os.Remove(filePath(fifo))
		for _, n := range []string{dir, fifo} {
			done := make(chan error, 2)
			go func() {
				_, err := shm.OpenBlock(n)
				done <- err
				_, err = shm.Open(n, nil)
				done <- err
			}()
			for range 2 {
				if err := Await(t, done, "Open and OpenBlock of a file that is not regular"); err == nil {
					t.Errorf("%s was opened", n)
				}
			}
			if shm.Unlink(n) == nil {
				t.Errorf("%s was removed", n)
			}
		}
	})
}

// TestBlockAt shows that a block is an io.ReaderAt and an io.WriterAt.
func TestBlockAt(t *testing.T) {
	b := Closing(t, Must(shm.AnonymousBlock(10))(t))
	Must(b.WriteAt([]byte("0123456789"), 0))(t)
	for _, tt := range []struct {
		off         int64
		len, n      int
		read, write error
	}{
		{0, 10, 10, nil, nil},
		{0, 0, 0, nil, nil},
		{3, 4, 4, nil, nil},
		{9, 1, 1, nil, nil},
		{10, 0, 0, nil, nil},
		{0, 11, 10, io.EOF, io.ErrShortWrite},
		{9, 2, 1, io.EOF, io.ErrShortWrite},
		{10, 1, 0, io.EOF, io.ErrShortWrite},
		{1 << 62, 1, 0, io.EOF, io.ErrShortWrite},
		{-1, 1, 0, shm.ErrSize, shm.ErrSize},
		{-1 << 63, 1, 0, shm.ErrSize, shm.ErrSize},
	} {
		t.Run(fmt.Sprintf("%d bytes at %d", tt.len, tt.off), func(t *testing.T) {
			p := make([]byte, tt.len)
			if n, err := b.ReadAt(p, tt.off); n != tt.n || !errors.Is(err, tt.read) {
				t.Errorf("ReadAt = %d, %v, want %d, %v", n, err, tt.n, tt.read)
			}
			if tt.n > 0 && string(p[:tt.n]) != "0123456789"[tt.off:][:tt.n] {
				t.Errorf("read %q", p[:tt.n])
			}
			if n, err := b.WriteAt(p, tt.off); n != tt.n || !errors.Is(err, tt.write) {
				t.Errorf("WriteAt = %d, %v, want %d, %v", n, err, tt.n, tt.write)
			}
		})
	}
}

// TestBlockCloseUnderUse shows that methods that run during Close return ErrClosed and never fault
// (M06).
func TestBlockCloseUnderUse(t *testing.T) {
	for range 50 {
		b := Must(shm.AnonymousBlock(1 << 16))(t)
		begun := make(chan struct{}, 4)
		var users sync.WaitGroup
		for i := range 4 {
			users.Go(func() {
				buf := make([]byte, 1<<15)
				for k := 0; ; k++ {
					var err error
					if i%2 == 0 {
						_, err = b.ReadAt(buf, int64(k%1000))
					} else {
						_, err = b.WriteAt(buf, int64(k%1000))
					}
					if err != nil {
						if !errors.Is(err, shm.ErrClosed) {
							t.Errorf("during Close: %v", err)
						}
						return
					}
					if k == 3 {
						begun <- struct{}{}
					}
				}
			})
		}
		for range 4 {
			Await(t, begun, "users of a block")
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() { users.Wait(); close(done) }()
		Await(t, done, "users of a closed block")
	}
}

// TestBlockSealed shows that an anonymous block is sealed: no process can truncate it while others
// use it.
func TestBlockSealed(t *testing.T) {
	b := Closing(t, Must(shm.AnonymousBlock(4096))(t))
	f := Must(b.File())(t)
	for _, size := range []int64{0, 1, 4095, 4097, 1 << 20} {
		if f.Truncate(size) == nil {
			t.Errorf("an anonymous block was truncated to %d bytes", size)
		}
	}
	seg := Anonymous(t, 1<<12)
	a := Must(shm.AnonymousBlock(1))(t)
	defer a.Close()
	path := fmt.Sprintf("/proc/self/fd/%d", seg.Handle().FD)
	if os.Truncate(path, 0) == nil {
		t.Error("an anonymous segment was truncated")
	}
}

func TestFileBlock(t *testing.T) {
	n := name(t)
	b := Closing(t, Must(shm.CreateBlock(n, 10))(t))
	Must(b.WriteAt([]byte{5}, 0))(t)
	f := Must(os.OpenFile(filePath(n), os.O_RDWR, 0))(t)
	other := Closing(t, Must(shm.FileBlock(f, "other"))(t))
	if mem := Must(other.Bytes())(t); len(mem) != 10 || mem[0] != 5 || other.Name() != "other" {
		t.Errorf("%q: %v", other.Name(), mem)
	}
	for _, tt := range []struct {
		label string
		open  func() (*os.File, error)
	}{
		{"directory", func() (*os.File, error) { return os.Open("/dev/shm") }},
		{"device", func() (*os.File, error) { return os.OpenFile(os.DevNull, os.O_RDWR, 0) }},
		{"for reading", func() (*os.File, error) { return os.Open(filePath(n)) }},
		{"nil", func() (*os.File, error) { return nil, nil }},
	} {
		t.Run(tt.label, func(t *testing.T) {
			f := Must(tt.open())(t)
			if _, err := shm.FileBlock(f, ""); err == nil {
				t.Error("FileBlock succeeded")
			}
			if f != nil && f.Close() == nil {
				t.Error("FileBlock failed and left the file open")
			}
		})
	}
}

func init() {
	// block increments the first byte of the named block.
	ops["block"] = func(_ context.Context, j job) (string, error) {
		b, err := shm.OpenBlock(j.Name)
		if err != nil {
			return "", err
		}
		defer b.Close()
		mem, err := b.Bytes()
		if err != nil {
			return "", err
		}
		mem[0]++
		return fmt.Sprint(b.Size()), nil
	}
}

// TestBlockProcesses shows that two processes see the same bytes in a block, and that the end of
// one of them does not remove the block (M09, M11).
func TestBlockProcesses(t *testing.T) {
	n := name(t)
	b := Closing(t, Must(shm.CreateBlock(n, 10))(t))
	for want := byte(1); want <= 3; want++ {
		if got := run(t, job{Op: "block", Name: n}); got != "10" {
			t.Errorf("size in a child: %s", got)
		}
		if got := Must(b.Bytes())(t)[0]; got != want {
			t.Errorf("the byte is %d, want %d", got, want)
		}
	}
	if _, err := os.Lstat(filePath(n)); err != nil {
		t.Errorf("the children's end removed the block: %v", err)
	}
}
