//go:build linux

package sys

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Blank puts zero pages of this process's own in the place of mem, a page-aligned
// part of a mapping. From its return on no thread of this process reaches the memory
// that was mapped there, and none faults.
//
// The pages are those of an empty memory file, which the kernel counts when they are
// written and not by their number: private pages would count against RLIMIT_DATA, and under strict
// overcommit, by the size of the mapping. They serve where no file can be opened.
func Blank(mem []byte) error {
	if len(mem) == 0 {
		return nil
	}
	err := blankWith(mem, unix.MAP_SHARED, func() (int, error) {
		fd, err := unix.MemfdCreate("mp-blank", unix.MFD_CLOEXEC)
		if err != nil {
			return -1, err
		}
		if err := unix.Ftruncate(fd, int64(len(mem))); err != nil {
			closeFD(fd)
			return -1, err
		}
		return fd, nil
	})
	if err != nil {
		err = blankWith(mem, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE, func() (int, error) { return -1, nil })
	}
	return os.NewSyscallError("mmap", err)
}

func blankWith(mem []byte, flags int, open func() (fd int, err error)) error {
	fd, err := open()
	if err != nil {
		return err
	}
	if fd >= 0 {
		defer closeFD(fd) // the mapping keeps the file
	}
	_, err = unix.MmapPtr(fd, 0, unsafe.Pointer(&mem[0]), uintptr(len(mem)), unix.PROT_READ|unix.PROT_WRITE, flags|unix.MAP_FIXED)
	return err
}

// DontDump keeps mem, a page-aligned part of a mapping, out of core dumps.
func DontDump(mem []byte) { _ = unix.Madvise(mem, unix.MADV_DONTDUMP) }
