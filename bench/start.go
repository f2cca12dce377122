package bench

import (
	"context"
	"fmt"

	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
)

// echo is the task of the processes whose start, or call, is measured. It returns its argument.
var echo = proc.Register("mp/bench/echo", func(_ context.Context, msg []byte) ([]byte, error) { return msg, nil })

// A startPort sends each message to a process of its own, which returns it and ends.
type startPort struct {
	options *proc.Options
	spares  *proc.Spares // nil: processes are started anew
	call    *proc.Call[[]byte]
	buf     []byte // as large as a message
}

func openStart(_ *shm.Segment, s Scenario, _ role) (port, error) {
	p := &startPort{options: &proc.Options{}, buf: make([]byte, s.Size)}
	if s.Transport == "warm" {
		p.spares = proc.NewSpares(1, nil)
		p.options.Method, p.options.Spares = proc.Warm, p.spares
	}
	return p, nil
}

// prepare waits until a spare is ready.
func (p *startPort) prepare() error {
	if p.spares == nil {
		return nil
	}
	return p.spares.Ready(background)
}

func (p *startPort) send(w number, n uint64) (err error) {
	for range n {
		if w&markLast != 0 {
			return nil // there is nobody who waits for the end
		}
		stamp(p.buf, w)
		if p.call, err = echo.Start(background, p.buf, p.options); err != nil {
			return err
		}
		w += next
	}
	return nil
}

func (p *startPort) receive(t *tally, _ uint64) (uint64, error) {
	msg, err := p.call.Result(background)
	if err == nil {
		err = p.call.Join(background)
	}
	if err == nil {
		err = p.call.Close()
	}
	if err == nil {
		err = enterAnswer(t, msg, len(p.buf))
	}
	if err != nil {
		return 0, err
	}
	return 1, nil
}

func (p *startPort) close() error {
	if p.spares == nil {
		return nil
	}
	return p.spares.Close()
}

// enterAnswer checks and enters a message that a process has returned.
func enterAnswer(t *tally, msg []byte, size int) error {
	if len(msg) != size {
		return damaged(len(msg), size, 0)
	}
	w, intact := stamped(msg)
	if !intact {
		return damaged(size, size, w)
	}
	return t.enter(w)
}

// A poolPort sends messages to the worker of a pool, which returns them.
type poolPort struct {
	pool    *proc.Pool
	futures []*proc.Future[[]byte] // of the messages under way, in their order
	buf     []byte                 // as large as a message
}

func openPool(_ *shm.Segment, s Scenario, _ role) (port, error) {
	pool, err := proc.NewPool(1, nil)
	if err != nil {
		return nil, err
	}
	return &poolPort{pool: pool, buf: make([]byte, s.Size)}, nil
}

func (p *poolPort) send(w number, n uint64) error {
	for range n {
		if w&markLast != 0 {
			return nil
		}
		stamp(p.buf, w)
		f, err := echo.Submit(background, p.pool, p.buf)
		if err != nil {
			return err
		}
		p.futures = append(p.futures, f)
		w += next
	}
	return nil
}

func (p *poolPort) receive(t *tally, _ uint64) (uint64, error) {
	f := p.futures[0]
	p.futures = p.futures[1:]
	msg, err := f.Wait(background)
	if err == nil {
		err = enterAnswer(t, msg, len(p.buf))
	}
	if err != nil {
		return 0, err
	}
	return 1, nil
}

func (p *poolPort) close() error {
	if err := p.pool.Close(); err != nil {
		return err
	}
	if err := p.pool.Join(background); err != nil {
		return fmt.Errorf("join the pool: %w", err)
	}
	return nil
}
