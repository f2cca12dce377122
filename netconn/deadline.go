package netconn

import (
	"context"
	"sync"
	"time"
)

// A deadline ends a context at a time that can be changed. The zero deadline is never.
type deadline struct {
	mu     sync.Mutex
	timer  *time.Timer // nil if there is no deadline, or it has passed
	ctx    context.Context
	cancel context.CancelFunc
}

// context returns a context that ends when the deadline passes.
func (d *deadline) context() context.Context {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.renew()
	return d.ctx
}

// renew makes a context if there is none.
func (d *deadline) renew() {
	if d.ctx == nil {
		d.ctx, d.cancel = context.WithCancel(context.Background())
	}
}

// stop makes the deadline never pass.
func (d *deadline) stop() { d.set(time.Time{}) }

// set changes the deadline to t, also for the calls that have the context already.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if d.ctx != nil && d.ctx.Err() != nil {
		d.ctx = nil // the last deadline has passed
	}
	if t.IsZero() {
		return
	}
	d.renew()
	left := time.Until(t)
	if left <= 0 {
		d.cancel()
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(left, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.timer == timer { // otherwise the deadline was changed
			d.cancel()
		}
	})
	d.timer = timer
}
