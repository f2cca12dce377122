package proc

import (
	"context"
	"encoding/json"

	"github.com/seed-2e7ecdea/mp/ring"
)

// ForeignTask makes a task that this program does not have itself: the workers of a pool with
// PoolOptions.Command run it, which know it by that name. A []byte or a string travels as its bytes,
// any other argument or result as JSON, as package json encodes it. There may be no objects in it.
//
// In a pool of workers of this program, and in a process, the task fails with ErrUnknownTask.
func ForeignTask[In, Out any](name string) *Task[In, Out] {
	t := &Task[In, Out]{name: name}
	t.in.foreign, t.out.foreign = true, true
	return t
}

// appendForeign appends *v to dst in the form in which programs in other languages get it.
func appendForeign(dst []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case *[]byte:
		return append(dst, *v...), nil
	case *string:
		return append(dst, *v...), nil
	}
	text, err := json.Marshal(v)
	return append(dst, text...), err
}

// setForeign sets *v to the value in data, the inverse of appendForeign.
func setForeign(data []byte, v any) error {
	switch v := v.(type) {
	case *[]byte:
		*v = append([]byte{}, data...)
		return nil
	case *string:
		*v = string(data)
		return nil
	}
	return json.Unmarshal(data, v)
}

// A workerProcess is the process of a worker: a *Process, or a commandWorker.
type workerProcess interface {
	Name() string
	PID() int
	Kill() error
	Done() <-chan struct{}
	ended() bool
	Join(ctx context.Context) error
	ExitCode() (code int, exited bool)
	countKills()
}

// A commandWorker is a program of PoolOptions.Command.
type commandWorker struct {
	*Cmd
	name string
}

func (c commandWorker) Name() string { return c.name }

// countKills does nothing: the count is read at the program's start.
func (c commandWorker) countKills() {}

// poolPipe is the name under which a program of PoolOptions.Command gets its pipe.
const poolPipe = "pool"

// startCommand starts a program as the worker. It gets the pipe's end theirs.
func (w *worker) startCommand(name string, theirs *ring.Conn) (workerProcess, error) {
	c := w.pool.options.Command().Pass(poolPipe, theirs)
	return commandWorker{c, name}, c.Start(w.pool.ctx)
}
