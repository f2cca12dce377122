package cluster

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// How many machines have got a batch is counted by messages in the pool's stream. The server's number of deliveries
// does not say it: it includes those that reached no machine, because a connection or a server was lost.
//
//  1. A machine that gets a batch for the second or a later time stores a try before it runs the batch: a
//     message under the ids of both.
//  2. It then counts the tries of other machines. If there are PoolOptions.Machines or more, the calls fail.
//  3. When its reply is stored, and before it acknowledges the batch, it removes all tries of the batch. If
//     it dies before, the next machine that gets the batch does so.
//
// The first delivery is not recorded, so that a batch that is delivered once costs nothing more. So one machine
// more may have got the batch than there are tries. If Machines is 1, the first delivery is recorded, too.

// tries returns the subject of the try of a machine, or of those of all machines if host is "*".
func (w *farWork) tries(host string) string { return w.h.subject + "tries." + w.call.ID + "." + host }

// try stores that this machine has got w. It fails with ErrMachines if too many others have got it. It blocks
// until the server answers or ctx is done.
func (w *farWork) try(ctx context.Context) error {
	h := w.h
	w.tried.Store(true)
	mine := w.tries(h.id)
	_, err := h.publish(ctx, nats.NewMsg(mine), w.call.ID+"-"+h.id, "", nil, jetstream.WithMsgTTL(keptFor))
	if err != nil {
		return err
	}
	var others uint64
	err = h.c.insist(ctx, func(ctx context.Context) error {
		stream, err := h.c.js.Stream(ctx, h.stream)
		if err != nil {
			return err
		}
		info, err := stream.Info(ctx, jetstream.WithSubjectFilter(w.tries("*")))
		if err == nil {
			delete(info.State.Subjects, mine)
			others = uint64(len(info.State.Subjects))
		}
		return err
	})
	if err == nil && others >= h.machines.Load() {
		err = fmt.Errorf("task %q: %w: they were %d or more", w.call.Task, ErrMachines, others)
	}
	return err
}

// dropTries removes the tries of w from the stream, if this machine may have stored one.
func (w *farWork) dropTries() {
	h := w.h
	if !w.tried.Load() {
		return
	}
	_ = h.c.insist(h.last, func(ctx context.Context) error { // if it fails, they vanish later
		stream, err := h.c.js.Stream(ctx, h.stream)
		if err == nil {
			err = stream.Purge(ctx, jetstream.WithPurgeSubject(w.tries("*")))
		}
		return err
	})
}

// runTried runs w if not too many machines have got it.
func (w *farWork) runTried() {
	h := w.h
	switch err := w.try(h.ctx); {
	case err == nil:
		w.run()
	case h.ctx.Err() != nil, errors.Is(err, jetstream.ErrStreamNotFound): // the caller stores it again in a new stream
		w.end(false)
	default:
		w.failAll(err)
	}
}
