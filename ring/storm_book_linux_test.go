package ring_test

import (
	"structs"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A stormBook is the record that the processes of a storm keep in shared memory, so that it survives
// their deaths. The messages of one producer are numbered in lives of up to stormMessages: a producer
// begins a new one when it starts, and when a life is full. No two producers share a life.
//
//	0    stop      1: producers end
//	4    disorder  messages of a life that a consumer got after a later one
//	8    lives     that have begun
//	64   seats     what the process in each seat has done
//	     put       for each life, how many of its Puts have returned
//	     next      for each consumer and life, 1 + the number of the last message that it got
//	     got       for each life and message, how often it was got
type stormBook struct {
	stop, disorder, lives *atomic.Uint32
	seats                 []stormSeat
	put                   []atomic.Uint32
	next                  [stormConsumers][]atomic.Uint32
	got                   []atomic.Uint32
}

// A stormSeat is the record of one process.
type stormSeat struct {
	_     structs.HostLayout
	done  atomic.Uint32 // messages that it has put or got
	since atomic.Uint32 // 1 + the lives that had begun when it had subscribed to a broadcast
	_     [56]byte
}

const (
	stormLives    = 4096
	stormMessages = 4096 // in a life
	stormKind     = shm.Kind(1000)

	stormPutAt    = 64 + 64*stormSeats
	stormNextAt   = stormPutAt + 4*stormLives
	stormGotAt    = stormNextAt + 4*stormConsumers*stormLives
	stormBookSize = stormGotAt + 4*stormLives*stormMessages
)

func newStormBook(mem []byte) stormBook {
	b := stormBook{
		stop: view.At[atomic.Uint32](mem, 0), disorder: view.At[atomic.Uint32](mem, 4), lives: view.At[atomic.Uint32](mem, 8),
		seats: view.Slice[stormSeat](mem, 64, stormSeats),
		put:   view.Slice[atomic.Uint32](mem, stormPutAt, stormLives),
		got:   view.Slice[atomic.Uint32](mem, stormGotAt, stormLives*stormMessages),
	}
	for i := range b.next {
		b.next[i] = view.Slice[atomic.Uint32](mem, stormNextAt+4*i*stormLives, stormLives)
	}
	return b
}

func openStormBook(seg *shm.Segment) (stormBook, error) {
	o, err := object.Open(seg, stormKind, "book", 1)
	if err != nil {
		return stormBook{}, err
	}
	return newStormBook(o.Bytes()), nil
}

// clear makes the record of a seat that of a new process.
func (b stormBook) clear(seat int) {
	b.seats[seat].done.Store(0)
	b.seats[seat].since.Store(0)
	if seat >= stormProducers {
		next := b.next[seat-stormProducers]
		for i := range next {
			next[i].Store(0)
		}
	}
}

// account compares what was put and what was got, if each message goes to one consumer.
func (b stormBook) account(c *stormCount) {
	for l := range min(b.lives.Load(), stormLives) {
		put := b.put[l].Load()
		c.messages += int(put)
		for n := range uint32(stormMessages) {
			switch got := b.got[l*stormMessages+n].Load(); {
			case got > 1:
				c.twice++
			case n < put && got == 0:
				c.missing++
			case n >= put && got != 0:
				c.extra++
			}
		}
	}
	c.disorder = int(b.disorder.Load())
}

// accountAll compares what was published and what the lossless subscribers of the end have received.
// They themselves check that there is no gap.
func (b stormBook) accountAll(c *stormCount) {
	for l := range min(b.lives.Load(), stormLives) {
		put := b.put[l].Load()
		c.messages += int(put)
		most, least := put, put+1
		for i, next := range b.next[:stormLossless] {
			since, got := b.seats[stormProducers+i].since.Load(), next[l].Load()
			if since == 0 || l < since-1 && got == 0 {
				continue // it has come too late for this life
			}
			most, least = max(most, got), min(least, got)
		}
		if most > put {
			c.extra += int(most - put)
		}
		if least < most {
			c.missing += int(most - least)
		}
	}
	c.disorder = int(b.disorder.Load())
}
