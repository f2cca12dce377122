//go:build !linux

package sys

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

var errUnsupported = fmt.Errorf("mp: %s: %w", runtime.GOOS, errors.ErrUnsupported)

// MaxWaitv is the number of words that FutexWaitv takes.
const MaxWaitv = 128

// MaxRights is how many descriptors WriteRights takes.
const MaxRights = 253

// A RightsReader reads from sockets of Linux.
type RightsReader struct{}

// FutexWord is one word to wait on with FutexWaitv.
type FutexWord struct {
	Addr    *atomic.Uint32
	Val     uint32
	Private bool
}

func FutexWait(*atomic.Uint32, uint32, time.Duration) (bool, error) { return false, errUnsupported }
func FutexWake(*atomic.Uint32, int, bool) (int, error)              { return 0, errUnsupported }
func FutexWaitv([]FutexWord, time.Duration) error                   { return errUnsupported }
func FutexWaitFew([]FutexWord, time.Duration) error                 { return errUnsupported }
func HasFutexWaitv() bool                                           { return false }
func RegisterBarrier() bool                                         { return false }
func Barrier() bool                                                 { return false }
func Memfd(string, int64) (*os.File, error)                         { return nil, errUnsupported }
func TempFile(string) (*os.File, error)                             { return nil, errUnsupported }
func LinkTemp(*os.File, string) error                               { return errUnsupported }
func OpenNoFollow(string) (*os.File, error)                         { return nil, errUnsupported }
func Reopen(*os.File) (*os.File, error)                             { return nil, errUnsupported }
func OpenOther(int, int) (*os.File, error)                          { return nil, errUnsupported }
func Reserve(*os.File, int64, int64) error                          { return errUnsupported }
func Punch(*os.File, int64, int64) error                            { return errUnsupported }
func Links(*os.File) (uint64, error)                                { return 0, errUnsupported }
func LockByte(_ *os.File, _ int64, _, _ bool) (bool, error)         { return false, errUnsupported }
func UnlockByte(*os.File, int64) error                              { return errUnsupported }
func LockedByOther(*os.File, int64, int64) (bool, error)            { return false, errUnsupported }
func IsNoSpace(error) bool                                          { return false }
func Blank([]byte) error                                            { return errUnsupported }
func DontDump([]byte)                                               {}
func IsTooLarge(error) bool                                         { return false }
func TraceAllowed() error                                           { return errUnsupported }
func PidfdOpen(int) (*os.File, error)                               { return nil, errUnsupported }
func AwaitExit(*os.File) error                                      { return errUnsupported }
func ProgramName(int) string                                        { return "" }
func PIDNamespace() uint64                                          { return 0 }
func Pin(...int) error                                              { return errUnsupported }
func Yield()                                                        { runtime.Gosched() }
func CPUTime() (int64, error)                                       { return 0, errUnsupported }
func Peer(syscall.Conn) (pid, uid int, err error)                   { return 0, 0, errUnsupported }
func WriteRights(syscall.Conn, []byte, []*os.File, bool) (n int, err error) {
	return 0, errUnsupported
}
func NewRightsReader(syscall.Conn) (*RightsReader, error) { return nil, errUnsupported }
func (*RightsReader) Read([]byte, bool) (n int, files []*os.File, dropped bool, err error) {
	return 0, nil, false, errUnsupported
}
func SealedSize(*os.File) bool { return false }
