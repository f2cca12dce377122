package proc

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"github.com/seed-2e7ecdea/mp/shm"
)

// The environment by which a program finds what it was passed.
const (
	passPrefix  = "MP_"         // MP_name is the object that was passed as name
	segmentsVar = "SEGMENT_FDS" // MP_SEGMENT_FDS lists the descriptors of the program's parties, one a segment
	firstFile   = 3             // the first descriptor after the standard files
)

// A passed is what a program gets under a name.
type passed struct {
	name   string
	object any
}

// Pass gives the program an object under a name, which consists of letters, digits and underscores
// and does not begin with a digit. The program finds it by the environment:
//
//   - An array, value, byte string, end of a pipe or segment, and any other object that has a
//     handle: MP_name is the text of the handle. The program is a party of the object's segment, and
//     a holder of the object, from the moment at which it is started until it ends. MP_SEGMENT_FDS
//     lists the descriptors of these segments, separated by commas.
//   - A *shm.Block: MP_name is block-FD-SIZE, with the descriptor and the size in bytes.
//   - An *os.File: MP_name is fd-FD. The file must stay open until Start has returned.
//
// The clients in the directory clients do the rest: mp.h in C, mp.py in Python. Pass returns c.
// What can't be passed is an error of Start.
func (c *Cmd) Pass(name string, object any) *Cmd {
	c.passed = append(c.passed, passed{name, object})
	return c
}

// An inheritance is what a program gets beside its standard files.
type inheritance struct {
	granted grants
	files   []*os.File // from descriptor firstFile on
	env     []string
}

// passAll claims the parties for what is passed.
func passAll(list []passed) (h inheritance, err error) {
	var seen []sighting
	used := make(map[string]bool)
	for _, p := range list {
		if !validName(p.name) || used[p.name] {
			return h, fmt.Errorf("Pass(%q): the name is not valid or used twice: %w", p.name, syscall.EINVAL)
		}
		used[p.name] = true
		set := func(format string, args ...any) {
			h.env = append(h.env, passPrefix+p.name+"="+fmt.Sprintf(format, args...))
		}
		var f *os.File
		switch o := p.object.(type) {
		case *shm.Block:
			if f, err = o.File(); err != nil {
				return h, fmt.Errorf("Pass(%q): %w", p.name, err)
			}
			set("block-%d-%d", firstFile+len(h.files), o.Size())
		case *os.File:
			if f = o; isClosed(f) {
				return h, fmt.Errorf("Pass(%q): %w", p.name, os.ErrClosed)
			}
			set("fd-%d", firstFile+len(h.files))
		case holder:
			handle := o.Handle()
			if handle.Segment == (shm.ID{}) {
				return h, fmt.Errorf("Pass(%q): it was closed: %w", p.name, os.ErrClosed)
			}
			seen = append(seen, sighting{handle: handle, object: true})
			set("%v", handle)
		default:
			return h, fmt.Errorf("Pass(%q): a %T is no object of mp and no file: %w", p.name, p.object, ErrValue)
		}
		if f != nil {
			h.files = append(h.files, f)
		}
	}
	if h.granted, err = grantAll(seen); err != nil {
		return h, err
	}
	var fds []string
	for _, f := range h.granted.files() {
		fds = append(fds, strconv.Itoa(firstFile+len(h.files)))
		h.files = append(h.files, f)
	}
	h.env = append(h.env, passPrefix+segmentsVar+"="+strings.Join(fds, ","))
	return h, nil
}

// validName reports whether a shell takes MP_name for the name of a variable.
func validName(name string) bool {
	if name == "" || name == segmentsVar || '0' <= name[0] && name[0] <= '9' {
		return false
	}
	return strings.Trim(name, "_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// lookPath is exec.LookPath, but takes a program of the current directory that PATH names.
func lookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil && !errors.Is(err, exec.ErrDot) {
		return name, err
	}
	return path, nil
}
