package shm

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// dir is where named memory lives.
const dir = "/dev/shm"

const maxName = 255

// path returns the file of a name, or ErrName.
func path(name string) (string, error) {
	if name == "" || len(name) > maxName || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return "", fmt.Errorf("shm: %w %.300q: want 1 to %d bytes without / and NUL", ErrName, name, maxName)
	}
	return filepath.Join(dir, name), nil
}

// Unlink removes the name of a block or segment. The memory lives on until
// nobody has it open. It fails with fs.ErrNotExist if there is no such name.
func Unlink(name string) error {
	p, err := path(name)
	if err != nil {
		return err
	}
	info, err := os.Lstat(p)
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "unlink", Path: p, Err: ErrForeign}
	}
	if err == nil {
		err = os.Remove(p)
	}
	if err != nil {
		return fmt.Errorf("shm: %w", err)
	}
	return nil
}
