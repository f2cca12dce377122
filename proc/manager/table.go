package manager

import (
	"fmt"
	"io/fs"
	"sync"
	"time"
)

// A table has all objects of a server, and counts who refers to each: the sessions that are attached
// to it, the values that are stored in objects, its names, the tokens of proxies on their way, and the
// answers on their way. An object goes when the last of these goes.
type table struct {
	finder    finder
	maxRepeat int // Options.MaxRepeat

	mu      sync.Mutex
	last    uint64 // the last id and the last token that were given out
	objects map[uint64]*entry
	passes  map[uint64]passage // by token: those that were not used yet
	names   map[string]uint64  // of objects that were published
}

// An entry is an object of a server.
type entry struct {
	id          uint64
	kind        uint64
	fingerprint uint64
	refs        int // guarded by the table's mutex

	mu   sync.Mutex // guards the content, and is held while a registered function runs
	gone bool
	content
}

// A passage keeps an object whose proxy is on its way to another process.
type passage struct {
	object uint64
	begin  time.Time
}

// content is what the kinds of objects have in common.
type content interface {
	// do does an operation, and appends its result to dst. The entry's mutex is held.
	do(x *exchange, op byte, args *reader, dst []byte) ([]byte, error)
	// clear removes everything, and returns the references that were in it.
	clear() []uint64
}

// A value is what a client has stored.
type value struct {
	data []byte
	refs []uint64 // the objects that it refers to
}

func newTable(manager uint64, maxRepeat int) *table {
	return &table{
		finder: newFinder(manager), objects: make(map[uint64]*entry), passes: make(map[uint64]passage),
		names: make(map[string]uint64), maxRepeat: maxRepeat,
	}
}

// add adds an object that one session refers to.
func (t *table) add(kind, fingerprint uint64, c content) *entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	e := &entry{id: t.last, kind: kind, fingerprint: fingerprint, refs: 1, content: c}
	t.objects[e.id] = e
	return e
}

// find returns an object, or nil.
func (t *table) find(id uint64) *entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.objects[id]
}

// hold counts one more user of an object, if it is there.
func (t *table) hold(id uint64) (e *entry, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.holdLocked(id)
}

func (t *table) holdLocked(id uint64) (e *entry, ok bool) {
	if e, ok = t.objects[id]; ok {
		e.refs++
	}
	return e, ok
}

// pass makes a token that keeps an object.
func (t *table) pass(id uint64) (token uint64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.holdLocked(id); !ok {
		return 0, false
	}
	t.last++
	t.passes[t.last] = passage{id, time.Now()}
	return t.last, true
}

// publish gives an object a name, which counts as a user.
func (t *table) publish(name string, id uint64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if old, ok := t.names[name]; ok && old == id {
		return nil
	} else if ok {
		return fmt.Errorf("another object is published as %q: %w", name, fs.ErrExist)
	}
	if _, ok := t.holdLocked(id); !ok {
		return ErrGone
	}
	t.names[name] = id
	return nil
}

// unpublish takes a name away. The caller releases the object.
func (t *table) unpublish(name string) (id uint64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	id, ok = t.names[name]
	delete(t.names, name)
	return id, ok
}

// open makes a token that keeps the object of that name.
func (t *table) open(name string) (e *entry, token uint64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	id, ok := t.names[name]
	if !ok {
		return nil, 0, false
	}
	e, _ = t.holdLocked(id) // its name is a user, so it is there
	t.last++
	t.passes[t.last] = passage{id, time.Now()}
	return e, t.last, true
}

// redeem counts one more user of an object and takes the token, if it was not used yet.
func (t *table) redeem(id, token uint64) (e *entry, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e, ok = t.objects[id]; !ok {
		return nil, false
	}
	if t.passes[token].object == id {
		delete(t.passes, token)
	} else {
		e.refs++
	}
	return e, true
}

// expire ends the passages that began before then.
func (t *table) expire(then time.Time) {
	var late []uint64
	t.mu.Lock()
	for token, p := range t.passes {
		if p.begin.Before(then) {
			delete(t.passes, token)
			late = append(late, p.object)
		}
	}
	t.mu.Unlock()
	t.release(late...)
}

// keep returns a copy of data, which counts as a user of the objects that it refers to.
func (t *table) keep(data []byte) value { return t.keepIn(nil, data) }

// keepIn is keep for a value in the place of one that nothing else has. It uses the memory of that one
// if it is large enough, but not if most of it would then be unused.
func (t *table) keepIn(old, data []byte) value {
	if size := cap(old); len(data) > size || size > 2*len(data)+minKept {
		old = nil
	}
	v := value{data: append(old[:0], data...)}
	t.finder.find(v.data, func(id, token uint64) {
		if _, ok := t.redeem(id, token); ok {
			v.refs = append(v.refs, id)
		}
	})
	return v
}

// release counts one user less of each object. It removes those that have none left, and then what
// only these referred to. No entry's mutex may be held. An object of a registered type ends in a goroutine of its
// own, because its Close is the program's and may block.
func (t *table) release(ids ...uint64) {
	for len(ids) > 0 {
		id := ids[len(ids)-1]
		ids = ids[:len(ids)-1]
		if e := t.drop(id); e != nil && e.kind == kindInstance {
			go e.end()
		} else if e != nil {
			ids = append(ids, e.end()...)
		}
	}
}

// end removes everything from an object that has no user, and returns the references that were in it.
func (e *entry) end() []uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.gone = true
	return e.content.clear()
}

// drop counts one user less of an object, and returns it if it has none left.
func (t *table) drop(id uint64) *entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.objects[id]
	if e == nil {
		return nil
	}
	if e.refs--; e.refs > 0 {
		return nil
	}
	delete(t.objects, id)
	return e
}

func (t *table) size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.objects)
}
