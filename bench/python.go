package bench

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/sys"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
)

// pythonScript measures a transport of Python's multiprocessing.
//
//go:embed python.py
var pythonScript string

// A pythonJob is the argument of pythonScript.
type pythonJob struct {
	Transport, Measure string
	Size, Slots        int
	Warm, Trips, Batch uint64 // messages of the warm-up; its round trips; messages between two looks at the clock
	Messages, Fewest   int    // see fewest
	Nanoseconds        int64  // the Duration
	Name               string // begins the names of its shared memory
	Pin                []int
}

// pythonRuns counts the runs, for names that are not used twice.
var pythonRuns atomic.Uint32

// python is the name of the interpreter.
const python = "python3"

// runPython runs a scenario in two processes of Python.
func runPython(ctx context.Context, s Scenario) (Result, error) {
	j := pythonJob{
		Transport: s.Transport, Measure: s.Measure, Size: s.Size, Slots: s.slots(),
		Warm: s.warmUp(), Trips: s.warmTrips(), Batch: s.batch(),
		Messages: s.Messages, Fewest: fewest, Nanoseconds: int64(s.Duration), Pin: s.Pin,
		Name: fmt.Sprintf("mp-bench-%d-%d", os.Getpid(), pythonRuns.Add(1)),
	}
	args, err := json.Marshal(j)
	if err != nil {
		return Result{}, err
	}
	if err := j.unlink(); err != nil { // of a process of the same number that was killed
		return Result{}, err
	}
	var diagnosis bytes.Buffer
	c := proc.Command(python, "-c", pythonScript, string(args))
	c.Stderr = &diagnosis
	out, err := c.Output(ctx)
	if err != nil {
		return Result{}, errors.Join(pythonError(err, diagnosis.String()), j.unlink())
	}
	var summaries []summary
	if err := json.Unmarshal(out, &summaries); err != nil {
		return Result{}, fmt.Errorf("%s printed %q: %w", python, out, err)
	}
	if len(summaries) != len(s.roles()) {
		return Result{}, fmt.Errorf("%s printed %d summaries, want %d", python, len(summaries), len(s.roles()))
	}
	return resultOf(s, summaries)
}

// pythonError adds the last line that Python has written to its standard error. If that is the script's exception for a
// message that is wrong, the error wraps ErrVerify.
func pythonError(err error, diagnosis string) error {
	lines := strings.Split(strings.TrimSpace(diagnosis), "\n")
	last := lines[len(lines)-1]
	if text, wrong := strings.CutPrefix(last, "__main__.Wrong: "); wrong {
		return fmt.Errorf("%w: %s", ErrVerify, text)
	}
	if last == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, last)
}

// unlink removes the shared memory that a process leaves if it is killed before it has removed the name itself.
func (j *pythonJob) unlink() error {
	var errs []error
	for _, suffix := range []string{"-a", "-b"} {
		if err := shm.Unlink(j.Name + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// ErrUnavailable means that a transport needs something that this machine lacks.
var ErrUnavailable = errors.New("not available here")

// Available returns nil if a transport can be measured on this machine, as far as this can be told without a run, and an
// error that wraps ErrUnavailable and says what is missing if not. The transports of Python need python3 in PATH, and mqueue
// a kernel, and a sandbox, with POSIX message queues.
func Available(transport string) error {
	t := findTransport(transport)
	switch {
	case t == nil:
		return nil
	case t.python:
		if _, err := exec.LookPath(python); err != nil {
			return fmt.Errorf("bench: python-pipe, python-queue, python-shm: %w: %w: install it, or add it to PATH", ErrUnavailable, err)
		}
	case t.peer && t.open == nil:
		if _, err := exec.LookPath(PeersProgram); err != nil {
			return fmt.Errorf("bench: zmq, grpc, net-rpc: %w: %w: go install it in bench/peers, or add it to PATH", ErrUnavailable, err)
		}
	case t.name == mqueue:
		f, err := sys.MessageQueue(1, 8)
		if err != nil {
			return fmt.Errorf("bench: %s: %w: %w", transport, ErrUnavailable, err)
		}
		return f.Close()
	}
	return nil
}
