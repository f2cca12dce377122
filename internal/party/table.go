// Package party keeps the table of a segment's parties, the processes attached to it, and notices
// their deaths.
//
// A party is alive while it holds the lock of its line. The kernel releases the lock when the
// process can't run any more. Then another party announces the death:
//
//  1. It marks the line dead. From here on Dead returns true.
//  2. It moves the segment's epoch.
//  3. It wakes all waiters that sleep on the epoch.
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
	"github.com/seed-2e7ecdea/mp/internal/look"
	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// ErrFull means that every line of the table belongs to a living party or is retired.
var ErrFull = errors.New("party table is full")

// A Table is one party's view of the party table of a segment.
type Table struct {
	lines []Line // lines[0] is not used
	words *Words
	epoch *atomic.Uint32 // words.Epoch
	locks Locks
	clean func(line int) // clears data that is kept by line, not by ID, before the line is used again

	me atomic.Uint32 // this party's ID

	mu      sync.Mutex // guards the rest; held for announcements
	seen    []uint32   // the words of the lines when they were last read
	watched []watched  // by line
	closed  bool
	looked  atomic.Uint32 // the epoch when the watched parties were last updated
	started atomic.Bool   // looked is valid
	living  atomic.Int32  // parties that are processes, then
	scanner *time.Timer
	armed   atomic.Bool // scanner is set to fire
	waiting func() bool
}

// A watched is the party that is watched on a line, and its pidfd, nil if no party is watched.
type watched struct {
	id    ID
	pidfd *os.File
}

// scanEvery is how often the locks are checked while goroutines wait or try. The checks notice the
// deaths of parties without a pidfd here, and of those that called execve.
const scanEvery = look.Scan

// Words are the words that the parties of a segment share beside their lines.
//
//	0   Epoch   moves when a party joins or dies; waiters sleep on it
//	4   Deaths  number of announced deaths
//	8   mark    no line above it was ever used
//	12  pad     to 128 bytes
type Words struct {
	_      structs.HostLayout
	Epoch  atomic.Uint32
	Deaths atomic.Uint32
	mark   atomic.Uint32
	_      [LineSize - 12]byte
}

// Lines returns the highest line that was ever used.
func (w *Words) Lines() int { return int(min(w.mark.Load(), MaxLines)) }

// NewTable returns the view of a party that is not attached yet. locks guard lines. The table calls
// clean before it gives a line to a new party. waiting reports whether a goroutine waits.
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

// Dead reports whether id's death has been announced, or no party had that ID. It costs one load.
func (t *Table) Dead(id ID) bool {
	n := id.Line()
	return n == 0 || n >= len(t.lines) || t.lines[n].word.Load() != aliveWord(id)
}

// Alive reports whether the line belongs to a living party.
func (t *Table) Alive(line int) bool {
	return line > 0 && line < len(t.lines) && t.lines[line].word.Load()&aliveBit != 0
}

// Epoch returns the word that moves when a party joins or dies.
func (t *Table) Epoch() *atomic.Uint32 { return t.epoch }

// Attach scans the table for deaths that no party has announced, and claims a line for this
// process. It returns ErrFull if there is no free line.
func (t *Table) Attach() error {
	id, err := t.ClaimScanned(t.locks, os.Getpid())
	if err != nil {
		return err
	}
	t.Take(id)
	return nil
}

// fullTries is how often ClaimScanned tries before it returns ErrFull.
const fullTries = 5

// ClaimScanned calls Scan and then Claim. If the table is full it tries again: a party may have
// died since the first scan, and an announcer may hold the lock of a dead party's line for a
// moment.
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

// Take makes id this party's ID. The party or its parent has claimed it.
func (t *Table) Take(id ID) {
	t.me.Store(uint32(id))
	line := &t.lines[id.Line()]
	if line.pid.Load() != uint32(os.Getpid()) {
		t.setPID(line, os.Getpid())
		t.move()
	}
}

// Claimed returns the ID of a line's party. It returns false if no living party has the line.
func (t *Table) Claimed(line int) (ID, bool) {
	if line <= 0 || line >= len(t.lines) {
		return 0, false
	}
	w := t.lines[line].word.Load()
	return wordID(w), w&aliveBit != 0
}

// Claim takes a free line and returns its new ID, or ErrFull. The party will be the process that
// holds locks: this process, or a child that inherits their open file description. pid is 0 if it
// is not known yet.
func (t *Table) Claim(locks Locks, pid int) (ID, error) {
	for n := 1; n < len(t.lines); n++ {
		line := &t.lines[n]
		if line.word.Load()&aliveBit != 0 {
			continue // Scan has announced the dead
		}
		ok, err := locks.TryLock(n)
		if err != nil {
			return 0, err
		}
		if !ok {
			continue
		}
		if crash.Enabled {
			crash.At(crash.AttachLocked) // the lock is free again, the line is as it was
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
			crash.At(crash.AttachWritten) // marked alive, lock free: the next scan announces the death
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

// Leave announces the end of id: this party, or one that it claimed. The caller still holds the
// lock of the line, and releases it afterwards.
func (t *Table) Leave(id ID) {
	t.lines[id.Line()].word.Store(deadWord(id))
	t.died()
}

// died counts a death after its line was marked, and moves the epoch.
func (t *Table) died() {
	t.words.Deaths.Add(1)
	t.move()
}

// move moves the epoch and wakes all waiters on it.
func (t *Table) move() {
	t.epoch.Add(1)
	if crash.Enabled {
		crash.At(crash.AnnounceMoved) // others that saw the same death announce it again
	}
	futex.Wake(t.epoch, futex.All)
}

// Watch makes sure that the deaths of all parties that had joined by epoch will be noticed. A
// waiter calls it before it sleeps. A method that never blocks calls it if another party has to act
// first.
func (t *Table) Watch(epoch uint32) {
	t.schedule()
	if t.started.Load() && t.looked.Load() == epoch {
		return
	}
	t.look(epoch)
}

// Living returns how many parties are alive, this one included, as Watch has found. It is 0 if Watch was not
// called since a party joined or died, and always if the parties are not processes.
func (t *Table) Living() int {
	if t.looked.Load() != t.epoch.Load() {
		return 0
	}
	return int(t.living.Load())
}

// Scan checks every line and its lock, whatever the epoch, and announces the deaths that it finds.
// It reports whether it found any.
func (t *Table) Scan() (found bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for n := 1; n < len(t.lines) && !t.closed; n++ {
		w := t.lines[n].word.Load()
		switch {
		case w&aliveBit != 0 && n != t.Me().Line():
			if held, err := t.locks.HeldByOther(n, 1); err == nil && !held {
				t.announce(n, wordID(w))
				found = true
			}
		case w&aliveBit == 0 && t.seen[n] == w|aliveBit && t.seen[n] != 0:
			// The announcer that marked the line may have been killed before its next step.
			t.died()
		}
		t.seen[n] = t.lines[n].word.Load()
	}
	return found
}

// scheduledScan runs once a second while goroutines wait, and a second after a try.
func (t *Table) scheduledScan() {
	t.armed.Store(false)
	t.Scan()
	if t.waiting() {
		t.schedule()
	}
}

// schedule makes scheduledScan run, unless it will run already. The timer of a closed table would
// keep the memory of the segment.
func (t *Table) schedule() {
	if t.armed.Load() || !t.armed.CompareAndSwap(false, true) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.scanner.Reset(scanEvery)
	}
}

// look starts to watch every living party that is not watched yet.
func (t *Table) look(epoch uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || t.started.Load() && t.looked.Load() == epoch {
		return
	}
	if _, ok := t.locks.(FileLocks); ok {
		living := int32(0)
		for n := 1; n < t.end(); n++ {
			w := t.lines[n].word.Load()
			pid := t.lines[n].pid.Load()
			if w&aliveBit != 0 {
				living++
			}
			if w&aliveBit == 0 || n == t.Me().Line() || pid == 0 {
				continue
			}
			if o := t.watched[n]; o.pidfd == nil || o.id != wordID(w) {
				t.watch(n, wordID(w), int(pid))
			}
			t.seen[n] = w
		}
		t.living.Store(living)
	}
	t.looked.Store(epoch)
	t.started.Store(true)
}

// watch opens a pidfd of the party id on line n, and waits on it in a goroutine. The line's lock
// shows that the pidfd belongs to that party. Without a pidfd, a scan notices the death.
func (t *Table) watch(n int, id ID, pid int) {
	t.unwatch(n)
	if t.lines[n].ns.Load() != sys.PIDNamespace() {
		return
	}
	f, err := sys.PidfdOpen(pid)
	if held, herr := t.locks.HeldByOther(n, 1); herr == nil && !held {
		// The party has died. If that was before PidfdOpen, the pid may be another process's.
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
			return // the pidfd is closed: the line has another party, or the segment is closed
		}
		t.exited(n, id, f)
	}()
}

// exited announces the death of the party id, whose process has ended.
func (t *Table) exited(n int, id ID, f *os.File) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.watched[n].pidfd != f {
		return
	}
	t.unwatch(n)
	t.announce(n, id)
}

// unwatch stops watching a line's party.
func (t *Table) unwatch(n int) {
	f := t.watched[n].pidfd
	t.watched[n] = watched{}
	if f != nil {
		f.Close()
	}
}

// announce confirms by the lock that id on line n is dead, and announces the death. If the lock is
// held, it does nothing: a process that is being started has a copy of the open file description,
// or another party announces the death. The next call of Watch or Scan tries again.
//
// If the announcer is killed after it has marked the line, the waiters sleep on. Another party that
// saw the death wakes them, or a scan.
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

// Announce announces the death of id, if its line's lock is free. It is for the parent of a process
// that has ended, and for tests of a heap segment, where no kernel notices deaths.
func (t *Table) Announce(id ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := id.Line(); n != 0 && n < len(t.lines) && n != t.Me().Line() && !t.closed {
		t.announce(n, id)
	}
}

// end returns the number of the first line that was never used.
func (t *Table) end() int { return min(int(t.words.mark.Load()), len(t.lines)-1) + 1 }

// SetQuiet publishes q: the oldest generation of closings that this party has not finished, plus 1,
// or 0 if there is none.
func (t *Table) SetQuiet(q uint32) {
	if w := &t.lines[t.Me().Line()].quiet; w.Load() != q {
		w.Store(q)
	}
}

// Loud returns a living party that has not finished its closings of the generations before g, and
// its pid, 0 if it is not known. It returns false if there is no such party.
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

// Close stops watching. It does not announce that this party leaves.
func (t *Table) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	t.scanner.Stop()
	for n := range t.watched {
		t.unwatch(n)
	}
}

// Wake makes every waiter of the segment try again.
func (t *Table) Wake() { t.move() }
