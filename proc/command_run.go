package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// A running is a program that has been started.
type running struct {
	*sys.Child
	granted grants
	stdio   *stdio
}

// start starts the program:
//
//  1. Claim its parties. They live as long as a process has their files.
//  2. Start it, with the files as its descriptors. From then on the parties live as long as it does.
//  3. Tell the segments its pid, and close this process's descriptors of the parties.
//
// If this process is killed after 1, the parties die with it. If it is killed after 2, the program
// dies with it, and the parties with both.
func (c *Cmd) start(ctx context.Context) (_ *running, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if c.find != nil {
		return nil, c.find
	}
	if err := (&Options{Env: c.Env}).check(); err != nil {
		return nil, err
	}
	io, err := newStdio(c)
	if err != nil {
		return nil, err
	}
	defer io.closeTheirs()
	h, err := passAll(c.passed) // step 1
	if err != nil {
		io.abandon()
		return nil, err
	}
	env := environment(environment(os.Environ(), h.env), c.Env)
	image := sys.Image{Path: c.Path, Args: c.Args, Env: env, Dir: c.Dir, Death: syscall.SIGKILL, Group: true}
	files := append(io.theirs[:len(io.theirs):len(io.theirs)], h.files...)
	child, err := theStarter.launch(ctx, image, files) // step 2
	if err != nil {
		io.abandon()
		return nil, errors.Join(err, h.granted.cancel())
	}
	h.granted.started(child.PID()) // step 3
	h.granted.release()
	io.copy()
	return &running{child, h.granted, io}, nil
}

// supervise waits for the end of the program, and ends what is left of its group. The program is a
// zombie until the group has got the signal, so that the number of the group is no other's.
func (c *Cmd) supervise(r *running) {
	kills := countKills(r.PID())
	r.AwaitExit()
	_ = r.SignalGroup(syscall.SIGKILL) // there may be nobody
	r.granted.ended()
	c.mu.Lock()
	code, err := r.Reap()
	c.reaped = true
	killed := c.killed
	c.mu.Unlock()
	copied := r.stdio.await()
	switch {
	case err != nil:
		code = 255
		c.err = failed("Join", c.name, fmt.Errorf("its exit code is unknown: another part of this program has reaped it, or it ignores SIGCHLD: %w", err))
	case code != 0:
		memory := code == -int(syscall.SIGKILL) && !killed && kills.took()
		c.err = &ExitError{Process: c.name, Code: code, Memory: memory}
	case copied != nil:
		c.err = failed("Join", c.name, copied)
	}
	c.code = code
	close(c.done)
}
