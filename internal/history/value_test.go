//go:build linux

package history_test

import (
	"context"
	"errors"
	"slices"

	"github.com/anishathalye/porcupine"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/shm"
	"github.com/seed-2e7ecdea/mp/value"
)

// A register is a value.Value, or a broken one. It holds a number below numbers.
type register interface {
	Load() uint32
	Store(x uint32)
	Swap(x uint32) uint32
	CompareAndSwap(old, x uint32) bool
	Update(ctx context.Context, f func(x uint32) uint32) error
}

const numbers = 1 << 16

// words returns the subject of a value that is one word. wrap returns the object that a client uses: the value itself, or
// a broken one.
func words(wrap func(c *client, v register) register) *subject {
	s := registers(func(c *client, in *assignment) register { return wrap(c, word{in.Word}) }, crash.ValueUpdating, crash.ValueStored)
	s.make = func(seg *shm.Segment, in *assignment) (err error) {
		in.Word, err = value.New(seg, "", uint32(0), nil)
		return err
	}
	return s
}

// wides returns the subject of a value that has copies, as words does.
func wides(wrap func(c *client, v register) register) *subject {
	s := registers(func(c *client, in *assignment) register { return wrap(c, manyWords{in.Wide}) }, crash.ValueUpdating, crash.ValueReleased)
	s.make = func(seg *shm.Segment, in *assignment) (err error) {
		in.Wide, err = value.New(seg, "", wide{}, nil)
		return err
	}
	return s
}

func registers(of func(c *client, in *assignment) register, first, last crash.Point) *subject {
	return &subject{
		work: func(c *client, in *assignment) error { return useRegister(c, of(c, in)) },
		settle: func(c *client, in *assignment) (int, error) {
			x, err := c.load(of(c, in))
			return int(x), err
		},
		model: registerModel,
		steps: plainSteps,
		kills: true,
		dieAt: slices.Collect(crash.Points(first, last)),
	}
}

func useRegister(c *client, v register) error {
	last := uint32(0)
	for c.canRecord(1) {
		var err error
		x := c.rand.Uint32N(numbers)
		switch n := c.rand.IntN(16); {
		case n < 6:
			last, err = c.load(v)
		case n < 9:
			_, err = c.do(store, x, func() error { v.Store(x); return nil })
		case n < 11:
			r := c.begin(swap, x)
			_, err = c.end(r, nil, v.Swap(x))
		case n < 13:
			r := c.begin(compareAndSwap, last*numbers+x)
			swapped := uint32(0)
			if v.CompareAndSwap(last, x) {
				swapped = 1
			}
			_, err = c.end(r, nil, swapped)
		default:
			err = c.update(v)
		}
		if err != nil {
			return err
		}
		c.pause()
	}
	return nil
}

// load calls Load and records the operation.
func (c *client) load(v register) (uint32, error) {
	r := c.begin(load, 0)
	x := v.Load()
	_, err := c.end(r, nil, x)
	return x, err
}

func next(x uint32) uint32 { return (x + 1) % numbers }

// update calls Update and records the operation.
func (c *client) update(v register) error {
	ctx, cancel := c.shortContext()
	defer cancel()
	r := c.begin(update, 0)
	made := uint32(0)
	err := v.Update(ctx, func(x uint32) uint32 {
		made = next(x)
		return made
	})
	_, err = c.end(r, err, made)
	return err
}

// registerModel is a model whose state is the number.
func registerModel(begin int) porcupine.Model {
	return modelOf(uint32(begin), func(x uint32, at step) []uint32 {
		switch at.kind {
		case load:
			if !at.maybe && at.value == x {
				return []uint32{x}
			}
		case store:
			return []uint32{at.arg}
		case swap:
			if at.maybe || at.value == x {
				return []uint32{at.arg}
			}
		case compareAndSwap:
			old, made := at.arg/numbers, at.arg%numbers
			switch {
			case old == x && (at.maybe || at.value != 0):
				return []uint32{made}
			case old != x && !at.maybe && at.value == 0:
				return []uint32{x}
			}
		case update:
			switch {
			case at.maybe, at.result == ok && at.value == next(x):
				return []uint32{next(x)}
			case at.result == ended:
				return []uint32{x}
			}
		}
		return nil
	})
}

// A word is a register in a value that is one word.
type word struct{ v *value.Value[uint32] }

func (w word) Load() uint32                      { return w.v.Load() }
func (w word) Store(x uint32)                    { w.v.Store(x) }
func (w word) Swap(x uint32) uint32              { return w.v.Swap(x) }
func (w word) CompareAndSwap(old, x uint32) bool { return value.CompareAndSwap(w.v, old, x) }
func (w word) Update(ctx context.Context, f func(x uint32) uint32) error {
	return w.v.Update(ctx, func(x *uint32) { *x = f(*x) })
}

// A wide repeats a number, so that a torn value is detected.
type wide [33]uint32

func widen(x uint32) (w wide) {
	for i := range w {
		w[i] = x
	}
	return w
}

func (w wide) number() uint32 {
	if w != widen(w[0]) {
		panic(errors.New("a torn value"))
	}
	return w[0]
}

// A manyWords is a register in a value that has copies.
type manyWords struct{ v *value.Value[wide] }

func (m manyWords) Load() uint32         { return m.v.Load().number() }
func (m manyWords) Store(x uint32)       { m.v.Store(widen(x)) }
func (m manyWords) Swap(x uint32) uint32 { return m.v.Swap(widen(x)).number() }
func (m manyWords) CompareAndSwap(old, x uint32) bool {
	return value.CompareAndSwap(m.v, widen(old), widen(x))
}
func (m manyWords) Update(ctx context.Context, f func(x uint32) uint32) error {
	return m.v.Update(ctx, func(x *wide) { *x = widen(f(x.number())) })
}
