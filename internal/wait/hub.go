package wait

import (
	"context"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/seed-2e7ecdea/mp/futex"
)

// A hub is a goroutine, with its thread, that sleeps for the waiters of many
// places. It ends when it has no place left.
//
// It sleeps on its control word, by which it is called back when there is a
// new word to sleep on, or a place is gone, whose memory it must let go; on the
// words of all places where somebody waits; and on the epochs of these.
type hub struct {
	crowd   *crowd
	control atomic.Uint32
	places  []*place
	epochs  []*epoch
	let     bool      // it has let somebody look
	relook  time.Time // when the waiters look again in any case, see lastSlice

	asleep bool // or about to be
	kicked bool // control has been moved since
	listed []*place
	words  []futex.Word // used by the hub's goroutine only
}

func newHub(c *crowd) *hub { return &hub{crowd: c, relook: time.Now().Add(lastSlice)} }

// sizeWith returns how many words the hub has with a place more, of that
// epoch.
func (h *hub) sizeWith(word *atomic.Uint32) int {
	n := 1 + len(h.epochs) + len(h.places) + 1
	if h.epoch(word) == nil {
		n++
	}
	return n
}

func (h *hub) epoch(word *atomic.Uint32) *epoch {
	for _, e := range h.epochs {
		if e.word == word {
			return e
		}
	}
	return nil
}

func (h *hub) newPlace(word *atomic.Uint32, at futex.Word) *place {
	e := h.epoch(at.Addr)
	if e == nil {
		e = &epoch{word: at.Addr, val: at.Val}
		h.epochs = append(h.epochs, e)
	}
	e.places++
	p := &place{hub: h, epoch: e, word: word, alike: true}
	h.places = append(h.places, p)
	return p
}

func (h *hub) remove(p *place) {
	h.places = drop(h.places, p)
	if p.epoch.places--; p.epoch.places == 0 {
		h.epochs = drop(h.epochs, p.epoch)
	}
	delete(h.crowd.places, p.word)
	h.crowd.used.Add(-1)
	if p.listed || len(h.places) == 0 {
		h.kick()
	}
}

// drop removes x from s, whose order does not matter.
func drop[T comparable](s []T, x T) []T {
	i, last := slices.Index(s, x), len(s)-1
	s[i] = s[last]
	var none T
	s[last] = none
	return s[:last]
}

// kick calls the hub back if it sleeps.
func (h *hub) kick() {
	if h.asleep && !h.kicked {
		h.kicked = true
		h.control.Store(1)
		futex.Wake(&h.control, 1)
	}
}

func (h *hub) run() {
	for h.prepare() {
		_, err := h.crowd.waitAny(context.Background(), max(time.Until(h.relook), time.Microsecond), h.words...)
		h.back(err)
	}
}

// prepare lists the words to sleep on. It returns false when the hub ends.
func (h *hub) prepare() bool {
	c := h.crowd
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(h.places) == 0 {
		c.hubs = drop(c.hubs, h)
		return false
	}
	h.control.Store(0)
	h.kicked, h.asleep = false, true
	h.words = append(h.words[:0], futex.Word{Addr: &h.control})
	for _, e := range h.epochs {
		e.listed = false
	}
	for _, p := range h.places {
		if p.queue.Len() > 0 {
			if e := p.epoch; !e.listed { // in the memory that the waiters of p keep
				e.listed = true
				h.words = append(h.words, futex.Word{Addr: e.word, Val: e.val})
			}
			p.listed, p.slept = true, p.val
			if p.out > 0 && p.alike { // those in the queue will be told
				p.slept = p.word.Load()
			}
			h.listed = append(h.listed, p)
			h.words = append(h.words, futex.Word{Addr: p.word, Val: p.slept})
		}
	}
	return true
}

// back lets the waiters look that have to after a sleep, and gives them the CPU, so
// that those that wait again find the hub awake.
func (h *hub) back(err error) {
	h.crowd.mu.Lock()
	h.asleep, h.let = false, false
	if err != nil {
		h.fail(err)
	}
	for _, p := range h.listed {
		p.listed = false
		if p.word.Load() == p.slept {
			continue
		}
		// The wake may have been meant for another process's sleeper.
		if p.queue.Len() == 0 {
			futex.Wake(p.word, 1)
		} else if !p.alike {
			p.release(nil)
		}
	}
	clear(h.listed)
	h.listed = h.listed[:0]
	clear(h.words)
	h.look()
	let := h.let
	h.crowd.mu.Unlock()
	if let {
		runtime.Gosched()
	}
}

// look lets those look whose words have moved, and once a second one of each
// place whose waiters are alike, and all of the others.
func (h *hub) look() {
	now := time.Now()
	again := !now.Before(h.relook)
	if again {
		h.relook = now.Add(lastSlice)
	}
	for _, e := range h.epochs {
		now := e.word.Load()
		e.moved = now != e.val
		e.val = now
	}
	for _, p := range h.places {
		switch {
		case p.epoch.moved, again && !p.alike:
			p.release(nil)
		case again && p.out == 0 && p.queue.Len() > 0:
			p.letFirst(nil)
		default:
			p.look()
		}
	}
}

// fail gives the error of a sleep to the waiters at the words that are to blame
// for it, to all if none is, and lets the others look again.
func (h *hub) fail(err error) {
	bad := make(map[*atomic.Uint32]error)
	for _, w := range h.words[1:] {
		if _, err := h.crowd.waitAny(context.Background(), time.Nanosecond, w); err != nil {
			bad[w.Addr] = err
		}
	}
	for _, p := range h.places {
		switch {
		case len(bad) == 0:
			p.release(err)
		case bad[p.word] != nil:
			p.release(bad[p.word])
		default:
			p.release(bad[p.epoch.word])
		}
	}
}
