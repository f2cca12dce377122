package proc

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
)

// standard is a child's standard files, and what this process copies from and to them.
type standard struct {
	files   [3]*os.File // the child's
	ours    []*os.File  // to be closed after the start
	input   *os.File    // to which source is copied; nil if there is no source
	source  io.Reader
	outputs []*output
}

// open fills s. On failure it leaves nothing open.
func (s *standard) open(name string, o *Options) (err error) {
	defer func() {
		if err != nil {
			s.abandon()
		}
	}()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	s.ours = append(s.ours, null)
	s.files[0] = null
	switch in := o.Stdin.(type) {
	case nil:
	case *os.File:
		if in == nil {
			break
		}
		if s.files[0], err = inherited("Stdin", in); err != nil {
			return err
		}
	default:
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		s.ours = append(s.ours, r)
		s.files[0], s.input, s.source = r, w, in
	}
	if s.files[1], err = s.output("Stdout", o.Stdout, os.Stdout, null, o.NameLines, name); err != nil {
		return err
	}
	if !o.NameLines && same(o.Stdout, o.Stderr) {
		s.files[2] = s.files[1]
		return nil
	}
	s.files[2], err = s.output("Stderr", o.Stderr, os.Stderr, null, o.NameLines, name)
	return err
}

// output returns the file to which a child prints so that it reaches given, or usual if that is
// nil.
func (s *standard) output(option string, given io.Writer, usual, null *os.File, nameLines bool, name string) (*os.File, error) {
	if f, ok := given.(*os.File); given == nil || ok && f == nil {
		if isClosed(usual) {
			return null, nil
		}
		given = usual
	}
	if f, ok := given.(*os.File); ok {
		f, err := inherited(option, f)
		if err != nil || !nameLines {
			return f, err
		}
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	s.ours = append(s.ours, w)
	if nameLines {
		given = &lines{name: name, w: given}
	}
	s.outputs = append(s.outputs, &output{r: r, w: given, done: make(chan struct{})})
	return w, nil
}

// inherited returns f, or os.ErrClosed if f is closed.
func inherited(option string, f *os.File) (*os.File, error) {
	if isClosed(f) {
		return nil, fmt.Errorf("option %s: %w", option, os.ErrClosed)
	}
	return f, nil
}

// same reports whether a and b are one writer.
func same(a, b io.Writer) bool {
	if a == nil || b == nil || !reflect.TypeOf(a).Comparable() || !reflect.TypeOf(b).Comparable() {
		return false
	}
	return a == b
}

func isClosed(f *os.File) bool { return f == nil || f.Fd() == ^uintptr(0) }

// started closes what only the child needs, and begins to copy.
func (s *standard) started() {
	closeAll(s.ours)
	for _, o := range s.outputs {
		go o.copy()
	}
	if s.input != nil {
		go func() {
			// An error means that the child does not read on, or that the source has failed. The
			// child sees the end of its input in both cases.
			_, _ = io.Copy(s.input, s.source)
			s.input.Close()
		}()
	}
}

// abandon closes everything: the child was not started.
func (s *standard) abandon() {
	closeAll(s.ours)
	for _, o := range s.outputs {
		o.r.Close()
	}
	if s.input != nil {
		s.input.Close()
	}
}

// finish waits until everything that the child, which has ended, has printed is written, and
// returns the errors of the writers.
func (s *standard) finish() error {
	if s.input != nil {
		s.input.Close() // so that a Write returns that waits
	}
	var errs []error
	for _, o := range s.outputs {
		errs = append(errs, o.finish())
	}
	return errors.Join(errs...)
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
