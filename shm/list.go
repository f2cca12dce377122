package shm

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"

	"github.com/seed-2e7ecdea/mp/internal/party"
	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// Info describes a named segment.
type Info struct {
	Name     string
	ID       ID
	Size     int  // room for objects in bytes
	Attached bool // somebody alive is attached
}

// List returns the named segments of /dev/shm that this user may open.
// Anything else in there it passes over. The error of the last pair, if there
// is one, says that the directory could not be read.
func List() iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		files, err := os.ReadDir(dir)
		if err != nil {
			yield(Info{}, fmt.Errorf("shm: list: %w", err))
			return
		}
		for _, d := range files {
			info, f, err := inspect(d.Name())
			if err != nil {
				continue
			}
			f.Close()
			if !yield(info, nil) {
				return
			}
		}
	}
}

// inspect opens the named segment's file without attaching to it.
func inspect(name string) (Info, *os.File, error) {
	f, err := sys.OpenNoFollow(filepath.Join(dir, name))
	if err != nil {
		return Info{}, nil, err
	}
	s, id, err := readHeader(f)
	if err != nil {
		return Info{}, nil, errors.Join(err, f.Close())
	}
	attached, err := party.FileLocks{File: f}.HeldByOther(1, s.parties-1)
	if err != nil {
		return Info{}, nil, errors.Join(err, f.Close())
	}
	return Info{Name: name, ID: id, Size: s.total - s.base, Attached: attached}, f, nil
}

// Reap removes the named segments to which nobody is attached any more, such
// as those that killed processes left behind, and returns their names. It
// never touches a raw block or a file of anything else, and waits for nobody. A
// segment that someone opens meanwhile either stays, or was not found by Open.
func Reap() ([]string, error) {
	var reaped []string
	var errs error
	for info, err := range List() {
		if err != nil {
			return reaped, err
		}
		if info.Attached {
			continue
		}
		ok, err := reap(info)
		if err != nil {
			errs = errors.Join(errs, fmt.Errorf("shm: reap %q: %w", info.Name, err))
		} else if ok {
			reaped = append(reaped, info.Name)
		}
	}
	return reaped, errs
}

// reap removes the segment if it still is the one that was seen and nobody is
// attached. Whoever attaches holds the gate meanwhile.
func reap(seen Info) (bool, error) {
	now, f, err := inspect(seen.Name)
	if err != nil || now.ID != seen.ID {
		return false, nil // gone, or another
	}
	defer f.Close()
	if ok, err := sys.LockByte(f, gate, false, false); err != nil || !ok {
		return false, err
	}
	again, g, err := inspect(seen.Name)
	if err != nil {
		return false, nil
	}
	defer g.Close()
	mine, err := f.Stat()
	if err != nil {
		return false, err
	}
	theirs, err := g.Stat()
	if err != nil {
		return false, err
	}
	if again.Attached || !os.SameFile(mine, theirs) {
		return false, nil
	}
	err = os.Remove(filepath.Join(dir, seen.Name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
