package shm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// dir is the directory of all named memory.
const dir = "/dev/shm"

const maxName = 255

// path returns the path of the file with that name. It returns ErrName if the name is not allowed.
func path(name string) (string, error) {
	switch {
	case name == "":
		return "", fmt.Errorf("%w: it is empty, want 1 to %d bytes", ErrName, maxName)
	case len(name) > maxName:
		return "", fmt.Errorf("%w: it has %d bytes, want 1 to %d", ErrName, len(name), maxName)
	case name == "." || name == ".." || strings.ContainsAny(name, "/\x00"):
		return "", fmt.Errorf("%w: want neither . nor .., and neither / nor NUL in it", ErrName)
	}
	return filepath.Join(dir, name), nil
}

// openPath opens the file of a name. It opens regular files only.
func openPath(p string) (*os.File, error) {
	f, err := sys.OpenNoFollow(p)
	switch {
	case err == nil:
		return f, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, because(err, "%s does not exist", p)
	case errors.Is(err, fs.ErrPermission):
		return nil, asOwner(err)
	}
	if info, statErr := os.Lstat(p); statErr == nil && !info.Mode().IsRegular() {
		return nil, because(err, "%s is not a regular file", p)
	}
	return nil, err
}

// link gives f, a file without a name, the name p.
func link(f *os.File, p string) error {
	err := sys.LinkTemp(f, p)
	if errors.Is(err, fs.ErrExist) {
		return because(err, "%s exists: open it, remove it with shm.Unlink, or take another name", p)
	}
	return err
}

// Unlink removes the name of a block or segment. Processes that have it open can go on using it.
// Its memory is freed when the last of them has closed it or ended. Unlink fails with
// fs.ErrNotExist if there is no such name, with ErrName if the name is invalid, and with ErrForeign
// if the name is not that of a regular file.
func Unlink(name string) error {
	if err := unlink(name); err != nil {
		return fmt.Errorf("shm: unlink %.300q: %w", name, err)
	}
	return nil
}

func unlink(name string) error {
	p, err := path(name)
	if err != nil {
		return err
	}
	info, err := os.Lstat(p)
	if err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%w: %s is not a regular file", ErrForeign, p)
	}
	if err == nil {
		err = os.Remove(p)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return because(err, "%s does not exist", p)
	}
	if errors.Is(err, fs.ErrPermission) {
		return asOwner(err)
	}
	return err
}

func asOwner(err error) error { return fmt.Errorf("%w: run as the user that owns the file", err) }
