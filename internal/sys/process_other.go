//go:build !linux

package sys

import (
	"errors"
	"os"
	"syscall"
)

var ErrRefused = errors.New("refused")

type Listener struct{}

func ListenForChildren() (*Listener, error)      { return nil, errUnsupported }
func (*Listener) Refresh() error                 { return errUnsupported }
func (*Listener) Accept() (*os.File, int, error) { return nil, 0, errUnsupported }

func ConnectToParent(bool) *os.File                    { return nil }
func DeathSignal() syscall.Signal                      { return 0 }
func Refuse(*os.File) error                            { return errUnsupported }
func SendFiles(*os.File, ...*os.File) error            { return errUnsupported }
func ReceiveFiles(*os.File) ([]*os.File, error)        { return nil, errUnsupported }
func IsGone(error) bool                                { return false }
func ControlPair() (parent, child *os.File, err error) { return nil, nil, errUnsupported }
func ShutdownRead(*os.File) error                      { return errUnsupported }
func CrashFile() (*os.File, error)                     { return nil, errUnsupported }
func OnMainThread() bool                               { return false }

type Starter struct{}

func NewStarter(*os.File) *Starter { return nil }
func (*Starter) Private() bool     { return false }

// Explain returns err.
func (Image) Explain(err error) error { return err }

type Image struct {
	Path  string
	Args  []string
	Env   []string
	Dir   string
	Death syscall.Signal
	Group bool
}

func CheckDir(string) error { return errUnsupported }

func (*Starter) Start(Image, []*os.File) (Birth, error) { return Birth{}, errUnsupported }

type Birth struct{}

type Child struct{}

func NewChild(Birth, *os.File) *Child           { return nil }
func (*Child) PID() int                         { return 0 }
func (*Child) Signal(syscall.Signal) error      { return errUnsupported }
func (*Child) SignalGroup(syscall.Signal) error { return errUnsupported }
func (*Child) AwaitExit()                       {}
func (*Child) PidFD() (*os.File, error)         { return nil, errUnsupported }
func (*Child) Ended() bool                      { return true }
func (*Child) Reap() (code int, err error)      { return 0, errUnsupported }

const Suspend = syscall.Signal(0)

type Tree struct{}

func Below(int) *Tree { return nil }
func (*Tree) Kill()   {}
func (*Tree) Forget() {}

func ReadNow(*os.File, []byte) (int, error)        { return 0, errUnsupported }
func SetStandardFiles([3]*os.File) error           { return errUnsupported }
func LimitPrivateMemory(uint64) error              { return errUnsupported }
func OpenPTY() (parent, child *os.File, err error) { return nil, nil, errUnsupported }

func TerminalWidth(*os.File) (columns int, ok bool) { return 0, false }
func SetTerminalWidth(*os.File, int) error          { return errUnsupported }
