// Package party keeps the table of the processes attached to a segment, its parties, and notices their deaths.
//
// A party is alive while it holds the lock of its line, which the kernel
// releases when the process can't run any more. Its death is announced: the
// line says DEAD, then the segment's epoch moves, then all waiters on
// the epoch wake. From the first of these steps on Dead is true.
package party

import (
	"errors"
	"fmt"
	"os"
	"structs"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-2e7ecdea/mp/futex"
	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// ErrFull means that every line of the table is taken by a living party.
var ErrFull = errors.New("party table is full")

// A Table is one party's view of the party table of a segment.
type Table struct {
	lines []Line // lines[0] is not used
	words *Words
	epoch *atomic.Uint32 // words.Epoch
	locks Locks
	clean func(line int) // clears what is kept by line, not by ID, before the line is used again

	me atomic.Uint32 // this party's ID

	mu      sync.Mutex // guards the rest; held for announcements
	seen    []uint32   // the words of the lines as last looked at
	watched []watched  // by line
	closed  bool
	looked  atomic.Uint32 // epoch at the last look
	started atomic.Bool   // looked is valid
	scanner *time.Timer
	armed   atomic.Bool // scanner is going to fire
	waiting func() bool
}

// watched is who is watched on a line, by which pidfd: nil if nobody is.
type watched struct {
	id    ID
	pidfd *os.File
}

// scanEvery is how often the locks are looked at while somebody waits or tries: for
// what has no pidfd here, and for a process that called execve.
const scanEvery = time.Second

// Words are what the parties of a segment share beside their lines.
//
//	0   Epoch   moves when a party joins or dies; waiters sleep on it
//	4   Deaths  counts announced deaths
//	8   mark    no line above it was ever used
//	12  pad     to 128 bytes
type Words struct {
	_      structs.HostLayout
	Epoch  atomic.Uint32
	Deaths atomic.Uint32
	mark   atomic.Uint32
	_      [LineSize - 12]byte
}

// NewTable returns the view of lines, guarded by locks, of a party that is
// not attached yet. clean is called before a line is given to a new party;
// waiting says whether somebody waits.
func NewTable(lines []Line, words *Words, locks Locks, clean func(line int), waiting func() bool) *Table {
	t := &Table{
		lines: lines, words: words, epoch: &words.Epoch, locks: locks, clean: clean, waiting: waiting,
		seen:    make([]uint32, len(lines)),
		watched: make([]watched, len(lines)),
	}
	t.scanner = time.AfterFunc(time.Hour, t.scheduledScan)
	t.scanner.Stop()
	return t
}

// Me returns this party's ID.
func (t *Table) Me() ID { return ID(t.me.Load()) }

// Dead reports whether id's death has been announced, or id never was: one
// load.
func (t *Table) Dead(id ID) bool {
	n := id.Line()
	return n == 0 || n >= len(t.lines) || t.lines[n].word.Load() != aliveWord(id)
}

// Alive reports whether the line is held by a living party.
func (t *Table) Alive(line int) bool {
	return line > 0 && line < len(t.lines) && t.lines[line].word.Load()&aliveBit != 0
}

// Epoch returns the word that moves when somebody joins or dies.
func (t *Table) Epoch() *atomic.Uint32 { return t.epoch }

// Attach looks at the whole table, announces the deaths that nobody saw, and
// claims a line for this process.
func (t *Table) Attach() error {
	id, err := t.ClaimScanned(t.locks, os.Getpid())
	if err != nil {
		return err
	}
	t.Take(id)
	return nil
}

// fullTries is how often a table is looked at before it is said to be full.
const fullTries = 5

// ClaimScanned is Scan, then Claim. Where the table is full it looks again:
// some may have died since the first look, and for a moment an announcer may
// hold the lock of a dead party's line.
func (t *Table) ClaimScanned(locks Locks, pid int) (ID, error) {
	for try := 1; ; try++ {
		t.Scan()
		id, err := t.Claim(locks, pid)
		if try == fullTries || !errors.Is(err, ErrFull) {
			return id, err
		}
		time.Sleep(time.Millisecond)
	}
}

// Take makes id, claimed for this party by its parent or itself, its own.
func (t *Table) Take(id ID) {
	t.me.Store(uint32(id))
	line := &t.lines[id.Line()]
	if line.pid.Load() != uint32(os.Getpid()) {
		t.setPID(line, os.Getpid())
		t.move()
	}
}

// Claimed returns the ID of the party alive on a line.
func (t *Table) Claimed(line int) (ID, bool) {
	if line <= 0 || line >= len(t.lines) {
		return 0, false
	}
	w := t.lines[line].word.Load()
	return wordID(w), w&aliveBit != 0
}

// Claim takes a free line under locks, whose holder will be the party: those
// of this process, or those of an open file description that a child will
// inherit. pid is 0 if it is not known yet.
func (t *Table) Claim(locks Locks, pid int) (ID, error) {
	for n := 1; n < len(t.lines); n++ {
		line := &t.lines[n]
		if line.word.Load()&aliveBit != 0 {
			continue // Scan has made sure that the living live
		}
		ok, err := locks.TryLock(n)
		if err != nil {
			return 0, err
		}
		if !ok {
			continue
		}
		if crash.Enabled {
			crash.At(crash.AttachLocked) // lock free again, line as it was
		}
		w := line.word.Load()
		id := wordID(w)
		if w&aliveBit != 0 || id.gen() >= maxGen {
			if err := locks.Unlock(n); err != nil {
				return 0, err
			}
			continue
		}
		if t.clean != nil {
			t.clean(n)
		}
		for m := t.words.mark.Load(); m < uint32(n) && !t.words.mark.CompareAndSwap(m, uint32(n)); {
			m = t.words.mark.Load()
		}
		line.quiet.Store(0)
		t.setPID(line, pid)
		id = newID(n, id.gen()+1)
		line.word.Store(aliveWord(id))
		if crash.Enabled {
			crash.At(crash.AttachWritten) // the line says alive, its lock is free: the next look announces it
		}
		t.move()
		return id, nil
	}
	return 0, fmt.Errorf("%w: %d lines", ErrFull, len(t.lines)-1)
}

// Started publishes the pid of the child for which id was claimed.
func (t *Table) Started(id ID, pid int) {
	t.setPID(&t.lines[id.Line()], pid)
	t.move()
}

func (t *Table) setPID(line *Line, pid int) {
	line.ns.Store(sys.PIDNamespace())
	line.pid.Store(uint32(pid))
}

// Leave announces that id, whose line's lock is still held by this party or
// one that it claimed, is no more. The lock is released after it.
func (t *Table) Leave(id ID) {
	t.lines[id.Line()].word.Store(deadWord(id))
	t.died()
}

// died counts a death that a line says, and moves the epoch.
func (t *Table) died() {
	t.words.Deaths.Add(1)
	t.move()
}

// move moves the epoch and wakes all waiters on it.
func (t *Table) move() {
	t.epoch.Add(1)
	if crash.Enabled {
		crash.At(crash.AnnounceMoved) // others who saw the same announce it again
	}
	futex.Wake(t.epoch, futex.All)
}

// Watch brings the list of the watched up to date if the epoch is not the
// one at the last look. A waiter calls it before it sleeps. A method that never
// blocks calls it when it finds that another party has to act first.
func (t *Table) Watch(epoch uint32) {
	if !t.armed.Load() && t.armed.CompareAndSwap(false, true) {
		t.scanner.Reset(scanEvery)
	}
	if t.started.Load() && t.looked.Load() == epoch {
		return
	}
	t.look(epoch)
}

// Scan looks at every line and its lock, whatever the epoch, and tells
// whether it found somebody dead.
func (t *Table) Scan() (found bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for n := 1; n < len(t.lines) && !t.closed; n++ {
		w := t.lines[n].word.Load()
		switch {
		case w&aliveBit != 0 && n != t.Me().Line(): // whatever else a line may say
			if held, err := t.locks.HeldByOther(n, 1); err == nil && !held {
				t.announce(n, wordID(w))
				found = true
			}
		case w&aliveBit == 0 && t.seen[n] == w|aliveBit && t.seen[n] != 0:
			// The announcer that wrote DEAD may have been killed before the rest.
			t.died()
		}
		t.seen[n] = t.lines[n].word.Load()
	}
	return found
}

// scheduledScan runs once a second while somebody waits, and a second after
// somebody tried.
func (t *Table) scheduledScan() {
	t.armed.Store(false)
	t.Scan()
	if t.waiting() && t.armed.CompareAndSwap(false, true) {
		t.scanner.Reset(scanEvery)
	}
}

// look watches every living party that is not watched yet.
func (t *Table) look(epoch uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || t.started.Load() && t.looked.Load() == epoch {
		return
	}
	if _, ok := t.locks.(FileLocks); ok {
		for n := 1; n < t.end(); n++ {
			w := t.lines[n].word.Load()
			pid := t.lines[n].pid.Load()
			if w&aliveBit == 0 || n == t.Me().Line() || pid == 0 {
				continue
			}
			if o := t.watched[n]; o.pidfd == nil || o.id != wordID(w) {
				t.watch(n, wordID(w), int(pid))
			}
			t.seen[n] = w
		}
	}
	t.looked.Store(epoch)
	t.started.Store(true)
}

// watch opens a pidfd of the party id on line n, makes sure by the lock that
// it is that party's, and waits on it in a goroutine. Without a pidfd the
// scan has to see the death.
func (t *Table) watch(n int, id ID, pid int) {
	t.unwatch(n)
	if t.lines[n].ns.Load() != sys.PIDNamespace() {
		return
	}
	f, err := sys.PidfdOpen(pid)
	if held, herr := t.locks.HeldByOther(n, 1); herr == nil && !held {
		// Dead before the pidfd was open: it may be of another process.
		if err == nil {
			f.Close()
		}
		t.announce(n, id)
		return
	}
	if err != nil {
		return
	}
	t.watched[n] = watched{id, f}
	go func() {
		if sys.AwaitExit(f) != nil {
			return // closed: the line has another party, or the segment is closed
		}
		t.exited(n, id, f)
	}()
}

// exited announces the party id, whose process has ended.
func (t *Table) exited(n int, id ID, f *os.File) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.watched[n].pidfd != f {
		return
	}
	t.unwatch(n)
	t.announce(n, id)
}

// unwatch ends the watching of a line.
func (t *Table) unwatch(n int) {
	f := t.watched[n].pidfd
	t.watched[n] = watched{}
	if f != nil {
		f.Close()
	}
}

// announce confirms by the lock that id on line n is dead, and tells everyone.
// A lock that is held belongs to a copy of the description in a process that
// is just being started, or to another announcer: the next look, at the latest
// the scan, sees to it.
//
// Killed between the two steps it leaves a line that says DEAD and waiters that
// sleep; they are woken by any other who saw the death, or by the scan.
func (t *Table) announce(n int, id ID) {
	ok, err := t.locks.TryLock(n)
	if err != nil || !ok {
		return
	}
	if line := &t.lines[n]; line.word.Load() == aliveWord(id) {
		line.word.Store(deadWord(id))
	}
	if crash.Enabled {
		crash.At(crash.AnnounceDead)
	}
	t.locks.Unlock(n)
	t.died()
	t.seen[n] = t.lines[n].word.Load()
}

// Announce is announce for a heap segment, where a test plays the kernel.
func (t *Table) Announce(id ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := id.Line(); n != 0 && n < len(t.lines) && n != t.Me().Line() && !t.closed {
		t.announce(n, id)
	}
}

// end returns the number of the first line that was never used.
func (t *Table) end() int { return min(int(t.words.mark.Load()), len(t.lines)-1) + 1 }

// SetQuiet publishes the oldest generation of closings that this party has not
// finished, plus 1, or 0 if there is none.
func (t *Table) SetQuiet(q uint32) {
	if w := &t.lines[t.Me().Line()].quiet; w.Load() != q {
		w.Store(q)
	}
}

// Loud returns a living party that has not finished its closings of the
// generations before g, and its pid, 0 if it is not known; ok is false if all
// have.
func (t *Table) Loud(g uint32) (id ID, pid uint32, ok bool) {
	for n := 1; n < t.end(); n++ {
		line := &t.lines[n]
		if w, q := line.word.Load(), line.quiet.Load(); w&aliveBit != 0 && q != 0 && q-1 < g {
			return wordID(w), line.pid.Load(), true
		}
	}
	return 0, 0, false
}

// NobodyElse reports whether no other party holds its lock.
func (t *Table) NobodyElse() (bool, error) {
	held, err := t.locks.HeldByOther(1, len(t.lines)-1)
	return !held && err == nil, err
}

// Close ends the watching. It does not announce this party.
func (t *Table) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	t.scanner.Stop()
	for n := range t.watched {
		t.unwatch(n)
	}
}

// Wake makes every waiter of the segment look again.
func (t *Table) Wake() { t.move() }
