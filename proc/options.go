package proc

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

// Options of a process. The zero value and nil are the defaults.
type Options struct {
	// Name is used in errors and by Self. Several processes may have the same. The
	// default is the task's name with a number: "greet-1", and "greet-1:2" for the
	// second child of that process.
	Name string

	// Env ("KEY=value") is added to the environment of this process, which the
	// child inherits.
	Env []string

	// Dir is the child's working directory. The default is this process's.
	Dir string

	// Stdin, Stdout and Stderr are the child's standard files. The defaults are
	// /dev/null, os.Stdout and os.Stderr, or /dev/null if this process has closed
	// these. The files may be closed as soon as Start has returned. If one of them
	// was closed before, Start fails with os.ErrClosed.
	Stdin, Stdout, Stderr *os.File
}

// check returns an error if the kernel could not take the options.
func (o *Options) check() error {
	for i, kv := range o.Env {
		if strings.IndexByte(kv, 0) >= 0 {
			return fmt.Errorf("Options.Env[%d] has a zero byte: %w", i, syscall.EINVAL)
		}
	}
	return nil
}

// standard is a child's standard files.
type standard struct {
	standard [3]*os.File
	null     *os.File // to be closed after the start
}

// files returns the standard files of a child.
func (o *Options) files() (f standard, err error) {
	if f.null, err = os.OpenFile(os.DevNull, os.O_RDWR, 0); err != nil {
		return f, err
	}
	for i, s := range []struct {
		name         string
		given, usual *os.File
	}{
		{"Stdin", o.Stdin, f.null},
		{"Stdout", o.Stdout, os.Stdout},
		{"Stderr", o.Stderr, os.Stderr},
	} {
		switch {
		case s.given != nil && isClosed(s.given):
			f.null.Close()
			return f, fmt.Errorf("option %s: %w", s.name, os.ErrClosed)
		case s.given != nil:
			f.standard[i] = s.given
		case isClosed(s.usual):
			f.standard[i] = f.null
		default:
			f.standard[i] = s.usual
		}
	}
	return f, nil
}

func isClosed(f *os.File) bool { return f == nil || f.Fd() == ^uintptr(0) }
