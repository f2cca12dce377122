package bench

import (
	"encoding/binary"
	"errors"
	"io"
	"strings"

	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A entry is a message that has no fixed size: a queue encodes it.
type entry struct {
	Number number
	Name   string
	Data   []uint64
	Again  number // the same as Number
}

// An encoding is a type of messages that a queue encodes.
type encoding[T any] struct {
	make func(w number, size int) T
	read func(v T, size int) (w number, intact bool)
}

// textMiddle is what is between the numbers of a string.
var textMiddle = strings.Repeat("-", 1<<10)

// textEncoding makes strings of the size of a message, each anew.
var textEncoding = encoding[string]{
	make: func(w number, size int) string {
		var ends [8]byte
		binary.NativeEndian.PutUint64(ends[:], w)
		var b strings.Builder // which turns its memory into the string
		b.Grow(size)
		b.Write(ends[:])
		b.WriteString(textMiddle[:size-2*len(ends)])
		b.Write(ends[:])
		return b.String()
	},
	read: func(v string, size int) (number, bool) {
		if len(v) != size {
			return 0, false
		}
		var ends [16]byte
		copy(ends[:8], v)
		copy(ends[8:], v[size-8:])
		return stamped(ends[:])
	},
}

// entryName is the name of each entry.
const entryName = "a name of 24 characters."

var entryEncoding = encoding[entry]{
	make: func(w number, size int) entry {
		data := make([]uint64, (size-len(entryName)-16)/8)
		for i := range data {
			data[i] = w
		}
		return entry{Number: w, Name: entryName, Data: data, Again: w}
	},
	read: func(v entry, size int) (number, bool) {
		whole := v.Number == v.Again && v.Name == entryName && len(v.Data) == (size-len(entryName)-16)/8
		return v.Number, whole && (len(v.Data) == 0 || v.Data[len(v.Data)-1] == v.Number)
	},
}

func createEncoded[T any](seg *shm.Segment, s Scenario) (*link, error) {
	o := &ring.QueueOptions[T]{Storage: memory / 2}
	q, err := ring.NewQueue(seg, queueName, s.slots(), o)
	if err != nil {
		return nil, err
	}
	l := &link{shutdown: q.Shutdown}
	if s.Measure == Latency {
		answers, err := ring.NewQueue(seg, answerName, s.slots(), o)
		if err != nil {
			return nil, err
		}
		l.ends = append(l.ends, answers)
	}
	return l, nil
}

// An encodedPort puts values that are encoded into a queue and gets them from a queue.
type encodedPort[T any] struct {
	puts, gets *ring.Queue[T]
	encoding   encoding[T]
	size       int
}

func openEncoded[T any](seg *shm.Segment, s Scenario, r role, e encoding[T]) (port, error) {
	puts, gets, err := openQueues[T](seg, r)
	if err != nil {
		return nil, err
	}
	return &encodedPort[T]{puts: puts, gets: gets, encoding: e, size: s.Size}, nil
}

func (p *encodedPort[T]) send(w number, n uint64) error {
	for range n {
		if err := p.puts.Put(background, p.encoding.make(w, p.size)); err != nil {
			return err
		}
		w += next
	}
	return nil
}

func (p *encodedPort[T]) receive(t *tally, n uint64) (uint64, error) {
	for i := range n {
		v, err := p.gets.Get(background)
		if errors.Is(err, ring.ErrShutdown) {
			err = io.EOF
		}
		if err != nil {
			return i, err
		}
		w, intact := p.encoding.read(v, p.size)
		if !intact {
			return i, damaged(0, 0, w)
		}
		if err := t.enter(w); err != nil {
			return i, err
		}
	}
	return n, nil
}

func (p *encodedPort[T]) close() error { return errors.Join(p.puts.Close(), p.gets.Close()) }
