//go:build linux

package history_test

import (
	"context"

	"github.com/anishathalye/porcupine"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// An event is a psync.Event, or a broken one.
type event interface {
	Set() error
	Clear() error
	IsSet() bool
	Wait(ctx context.Context) error
}

// events returns the subject of an event. wrap returns the object that a client uses: the event itself, or a broken one.
func events(wrap func(c *client, e event) event) *subject {
	s := &subject{
		make: func(seg *shm.Segment, in *assignment) (err error) {
			in.Event, err = psync.NewEvent(seg, "")
			return err
		},
		work: func(c *client, in *assignment) error { return useEvent(c, wrap(c, in.Event)) },
		settle: func(c *client, in *assignment) (int, error) {
			isSet, err := c.isSet(in.Event)
			return int(isSet), err
		},
		model: eventModel,
		steps: plainSteps,
		kills: true,
	}
	for p := range crash.Points(crash.EventSet, crash.EventWoken) {
		s.dieAt = append(s.dieAt, p)
	}
	return s
}

func useEvent(c *client, e event) error {
	for c.canRecord(1) {
		var err error
		switch n := c.rand.IntN(16); {
		case n < 3:
			_, err = c.do(set, 0, e.Set)
		case n < 6:
			_, err = c.do(clear_, 0, e.Clear)
		case n < 11:
			_, err = c.isSet(e)
		default:
			_, err = c.wait(wait, 0, e.Wait)
		}
		if err != nil {
			return err
		}
		c.pause()
	}
	return nil
}

// isSet calls IsSet and records the operation.
func (c *client) isSet(e event) (uint32, error) {
	r := c.begin(isSet, 0)
	flag := uint32(0)
	if e.IsSet() {
		flag = 1
	}
	_, err := c.end(r, nil, flag)
	return flag, err
}

// eventModel is a model whose state is 1 if the event is set, and 0 if not. A Wait may return after the event was set and
// cleared again: the model needs no state for that, as the event was set at a moment between its call and its return.
func eventModel(begin int) porcupine.Model {
	return modelOf(uint32(begin), func(flag uint32, at step) []uint32 {
		switch {
		case at.kind == set:
			return []uint32{1}
		case at.kind == clear_:
			return []uint32{0}
		case at.maybe:
			return nil
		case at.kind == isSet && flag == at.value,
			at.kind == wait && at.result == ok && flag == 1,
			at.kind == wait && at.result == ended && flag == 0:
			return []uint32{flag}
		}
		return nil
	})
}
