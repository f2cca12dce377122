package shm

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"

	"github.com/seed-2e7ecdea/mp/internal/party"
	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// Info describes a named segment.
type Info struct {
	Name     string
	ID       ID
	Size     int  // the bytes that it has for objects
	Attached bool // whether a living process is attached to it
}

// List returns an iterator over the named segments in /dev/shm that this user may open. It skips
// all other files. If the directory can't be read, the only pair has an error.
func List() iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		files, err := os.ReadDir(dir)
		if err != nil {
			yield(Info{}, fmt.Errorf("shm: list segments: %w", err))
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

// Reap removes the segments of those names, or all named segments if there are no names, to which no
// living process is attached, such as those that killed processes have left behind. It returns their
// names. It does not touch blocks and other files, and does not block. A name that does not exist is
// no error. If Open is called for a segment at the same time, either Open succeeds and the segment
// stays, or Open fails with fs.ErrNotExist.
func Reap(names ...string) ([]string, error) {
	var reaped []string
	var errs error
	for info, err := range List() {
		if err != nil {
			return reaped, err
		}
		if info.Attached || len(names) > 0 && !slices.Contains(names, info.Name) {
			continue
		}
		ok, err := reap(info)
		if err != nil {
			errs = errors.Join(errs, fmt.Errorf("shm: reap segment %q: %w", info.Name, err))
		} else if ok {
			reaped = append(reaped, info.Name)
		}
	}
	return reaped, errs
}

// reap removes the segment if it still is the one that was seen and no party is attached to it. It
// holds the lock of reapByte exclusively, which an attaching process holds shared. So
// either a party is attached, or no process can attach any more.
func reap(seen Info) (bool, error) {
	now, f, err := inspect(seen.Name)
	if err != nil || now.ID != seen.ID {
		return false, nil // it was removed, or is another segment
	}
	defer f.Close()
	if ok, err := sys.LockByte(f, reapByte, false, false); err != nil || !ok {
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
