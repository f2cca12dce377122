package cluster

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// lookTime is how often a machine looks whether what it runs is still wanted.
const lookTime = time.Minute

// watchWithdrawn ends batches that are not in the stream any more, until ctx is done or the connection is closed.
// Their callers have withdrawn them, or another machine has answered them, while this machine was cut off: it has
// not heard of that. So it looks when the connection is there again, and at intervals, as requests may be lost.
func (h *host) watchWithdrawn(ctx context.Context) {
	tick := time.NewTicker(lookTime)
	defer tick.Stop()
	for {
		bell := h.c.bell()
		if h.c.conn.IsClosed() {
			return
		}
		age := time.Duration(0)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			age = lookTime
		case <-bell:
		}
		h.endWithdrawn(ctx, age)
	}
}

// endWithdrawn ends the batches that are not in the stream any more, of those that have run for that time.
func (h *host) endWithdrawn(ctx context.Context, age time.Duration) {
	since := time.Now().Add(-age)
	h.mu.Lock()
	messages := make(map[*farWork]jetstream.Msg)
	for _, w := range h.running {
		if w.begun.Before(since) {
			messages[w] = w.held.msg
		}
	}
	h.mu.Unlock()
	if len(messages) == 0 {
		return
	}
	var made time.Time
	err := h.c.insist(ctx, func(ctx context.Context) error {
		stream, err := h.c.js.Stream(ctx, h.stream)
		if err == nil {
			made = stream.CachedInfo().Created
		}
		return err
	})
	if err != nil {
		return // the server has lost the stream, or ctx is done
	}
	for w, msg := range messages {
		meta, err := msg.Metadata()
		if err != nil || meta.Timestamp.Before(made) { // the server has lost the stream, and its caller stores it again
			continue
		}
		if _, err = h.message(ctx, meta.Sequence.Stream); errors.Is(err, jetstream.ErrMsgNotFound) {
			h.withdraw(w, msg)
		}
	}
}

// withdraw ends w, whose message is gone, unless the server has given it again as another message.
func (h *host) withdraw(w *farWork, msg jetstream.Msg) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.running[w.call.ID] == w && w.held.msg == msg {
		w.useless.Store(true) // the batch may come back: its reply must not say that it was stopped
		w.halt(false)
	}
}
