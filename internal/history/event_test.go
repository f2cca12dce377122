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

// events is the subject of an event, which wrap breaks.
func events(wrap func(h *hand, e event) event) *subject {
	s := &subject{
		make: func(seg *shm.Segment, in *assignment) (err error) {
			in.Event, err = psync.NewEvent(seg, "")
			return err
		},
		work: func(h *hand, in *assignment) error { return useEvent(h, wrap(h, in.Event)) },
		rest: func(h *hand, in *assignment) (int, error) {
			isSet, err := h.isSet(in.Event)
			return int(isSet), err
		},
		model: eventModel,
		steps: plain,
		kills: true,
	}
	for p := range crash.Points(crash.EventSet, crash.EventWoken) {
		s.dieAt = append(s.dieAt, p)
	}
	return s
}

func useEvent(h *hand, e event) error {
	for h.room(1) {
		var err error
		switch n := h.rand.IntN(16); {
		case n < 3:
			_, err = h.do(set, 0, e.Set)
		case n < 6:
			_, err = h.do(clear_, 0, e.Clear)
		case n < 11:
			_, err = h.isSet(e)
		default:
			_, err = h.wait(wait, 0, e.Wait)
		}
		if err != nil {
			return err
		}
		h.linger()
	}
	return nil
}

// isSet records a call of IsSet.
func (h *hand) isSet(e event) (uint32, error) {
	r := h.begin(isSet, 0)
	flag := uint32(0)
	if e.IsSet() {
		flag = 1
	}
	_, err := h.end(r, nil, flag)
	return flag, err
}

// eventModel: the state is 1 if the event is set. That a Wait returns if the
// event was set since its call, though it is not any more, needs nothing: there
// was a moment between call and return at which it was set.
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
