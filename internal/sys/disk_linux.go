package sys

import (
	"os"

	"golang.org/x/sys/unix"
)

// FileSystem returns the size of the file system at path, and how much of it is free, in bytes.
func FileSystem(path string) (size, free uint64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, 0, &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	return s.Blocks * uint64(s.Bsize), s.Bavail * uint64(s.Bsize), nil
}
