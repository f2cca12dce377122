package proc

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// Options configure a process. The zero value and nil mean the defaults.
type Options struct {
	// Name is used in errors and by Self. Several processes may have the same. The
	// default is the task's name with a number: "greet-1", and "greet-1:2" for the
	// second child of that process.
	Name string

	// Method is how the process is started. The default is Spawn.
	Method Method

	// Spares are where Method Warm takes the process from. The default is a set of two that the
	// program makes at the first such start, and that Shutdown closes.
	Spares *Spares

	// Executable is the file to run. The default is this process's executable. Another one must
	// register the same task and call Init. It can't be combined with Method Warm.
	Executable string

	// Env ("KEY=value") is added to the environment of this process, which the
	// child inherits.
	Env []string

	// Dir is the child's working directory. The default is this process's.
	Dir string

	// Stdin is the child's standard input. The default is empty input. An *os.File is
	// inherited, and may be closed as soon as Start has returned. From any other reader a goroutine
	// of this process copies to the child through a pipe, until the reader ends or the child no longer
	// reads; it does not notice the child's end while it waits for the reader.
	Stdin io.Reader

	// Stdout and Stderr are the child's standard output and standard error. The defaults are
	// os.Stdout and os.Stderr, or nothing if this process has closed these. An *os.File is
	// inherited, and may be closed as soon as Start has returned. To any other writer a goroutine
	// of this process copies what the child prints, and the process counts as ended only when
	// everything has been written. If both are the same writer, one goroutine at a time calls
	// Write.
	//
	// If a file was closed before Start, Start fails with os.ErrClosed. If Write fails, the child
	// finds its output closed, and Join returns the error.
	Stdout, Stderr io.Writer

	// NameLines passes standard output and standard error on line by line, each line with the
	// process's name before it: "greet-1: hello". Lines of different processes do not mix.
	NameLines bool

	// Daemon marks a process that serves others and need not finish: Wait does not wait for it, and
	// Shutdown ends it.
	Daemon bool

	// Grace is the time that the process has, from Terminate, Interrupt or Stop on, until it is
	// ended though its task has not returned. The default is DefaultGrace.
	Grace time.Duration

	// Linger is the time that the process has to clean up when its parent has died. The default is
	// none: the kernel kills the process. With a Linger the kernel sends SIGHUP instead, which ends
	// the process before Init. Then the task's context is cancelled, and the process ends itself
	// after that time at the latest. It can't do so while it is stopped. It can't be combined with
	// Method Warm, and is refused while this process ignores SIGHUP.
	Linger time.Duration

	// Memory limits the private memory (Go's heap, stacks, memory of native code) that
	// the process may have beyond what it has when it calls Init, in bytes. Shared memory does not
	// count. Go's runtime takes memory from the kernel in steps of up to 64 MiB. If the limit
	// is exceeded, the process ends, and errors.Is(err, ErrMemory) is true for the error of Join.
	// Native code gets no memory, and does what it does then. The default is no limit.
	Memory int64

	// Logger gets a record when the process starts (Info), when it ends (Info, or Warn with the
	// error), and when a signal is sent to it (Debug). The default is no record.
	Logger *slog.Logger
}

// DefaultGrace is the default of Options.Grace.
const DefaultGrace = 3 * time.Second

// grace returns Options.Grace or its default.
func (o *Options) grace() time.Duration {
	if o.Grace > 0 {
		return o.Grace
	}
	return DefaultGrace
}

// check returns an error if no process could be started with the options.
func (o *Options) check() error {
	if err := o.Method.check(); err != nil {
		return err
	}
	for i, kv := range o.Env {
		if strings.IndexByte(kv, 0) >= 0 {
			return fmt.Errorf("option Env[%d] has a zero byte: %w", i, syscall.EINVAL)
		}
	}
	if o.Linger != 0 && signal.Ignored(deathOfLingering) {
		return fmt.Errorf("option Linger while this process ignores SIGHUP, as under nohup: %w", errors.ErrUnsupported)
	}
	for _, c := range []struct {
		name    string
		given   bool
		methods []Method // that do not have it
	}{
		{"Executable", o.Executable != "", []Method{Warm, InProcess}},
		{"Linger", o.Linger != 0, []Method{Warm, InProcess}},
		{"Spares", o.Spares != nil, []Method{Spawn, InProcess}},
		{"Env", len(o.Env) > 0, []Method{InProcess}},
		{"Dir", o.Dir != "", []Method{InProcess}},
		{"Stdin", o.Stdin != nil, []Method{InProcess}},
		{"Stdout", o.Stdout != nil, []Method{InProcess}},
		{"Stderr", o.Stderr != nil, []Method{InProcess}},
		{"NameLines", o.NameLines, []Method{InProcess}},
		{"Memory", o.Memory != 0, []Method{InProcess}},
	} {
		for _, m := range c.methods {
			if c.given && o.Method == m {
				return fmt.Errorf("option %s with the start method %v: %w", c.name, m, errors.ErrUnsupported)
			}
		}
	}
	return nil
}
