// Package futex blocks on 32-bit words in memory that processes share, and wakes the waiters. It is
// a thin layer over the kernel's futexes (without FUTEX_PRIVATE_FLAG) which adds contexts.
//
// A word is any *atomic.Uint32 in memory that is mapped shared, or on the heap if only one process
// uses it. It must not lie on a stack. A waiter usually does
//
//	for {
//		v := word.Load()
//		if condition(v) {
//			return nil
//		}
//		if err := futex.Wait(ctx, word, v); err != nil {
//			return err
//		}
//	}
//
// and another goroutine or process changes the word and then calls Wake. If the word changes before
// the waiter sleeps, Wait returns at once, so no wakeup is lost. All functions may be called
// concurrently. A change of the word by an atomic operation synchronizes as package sync/atomic
// says; Wake adds nothing to that.
//
// Each goroutine that blocks here occupies an OS thread.
//
// The end of a context wakes only the waiter that has this context. A Wake may have counted that
// waiter among those that it woke. A waiter that gives up should therefore wake another one in its
// place.
//
// All errors are wrapped: compare them by errors.Is.
package futex

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// All is the n with which Wake wakes all waiters.
const All = math.MaxInt32

// MaxWords is the largest number of words for WaitAny and WaitAnyFor.
const MaxWords = sys.MaxWaitv - 1

// A Word is a word to wait on, and the value that the caller has read from it.
type Word struct {
	Addr *atomic.Uint32
	Val  uint32
}

// Wait blocks while *addr is val, until a Wake wakes it or ctx is done. It returns nil if it was
// woken, or if *addr is not val. It may also return nil for no reason (a spurious wakeup), so the
// caller checks the word again. It returns ctx's error if ctx is done and *addr is still val.
func Wait(ctx context.Context, addr *atomic.Uint32, val uint32) error {
	_, err := waitAny(ctx, []Word{{addr, val}}, 0)
	return failed("Wait", err)
}

// WaitAny blocks while every word has its value, until a Wake wakes it through one of the words or
// ctx is done. It returns the index of the first word whose value has changed. It returns -1 and
// nil if none has changed, because it was woken without a change or for no reason. It returns ctx's
// error if ctx is done and no word has changed. It panics unless it gets 1 to MaxWords words.
//
// Where the kernel has no futex_waitv (before Linux 5.16, and in some sandboxes), WaitAny sleeps on
// the first word and polls the others, at intervals that grow from 1 ms to 32 ms.
func WaitAny(ctx context.Context, words ...Word) (int, error) {
	i, err := waitAny(ctx, words, 0)
	return i, failed("WaitAny", err)
}

// WaitAnyFor is WaitAny with a time limit: it returns -1 and nil after d, if d is positive.
// WaitAnyFor does not wrap ctx's error: the packages that call it add the name of their own
// operation.
func WaitAnyFor(ctx context.Context, d time.Duration, words ...Word) (int, error) {
	return waitAny(ctx, words, d)
}

// Wake wakes up to n goroutines, in whatever process, that wait on addr. It returns how many it has
// woken. That does not say how many will act on it: a woken process may be killed, and a woken
// waiter's context may be done. Wake does not block.
func Wake(addr *atomic.Uint32, n int) (int, error) {
	woken, err := sys.FutexWake(addr, n, false)
	return woken, failed("Wake", err)
}

func failed(op string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("futex: %s: %w", op, err)
}

// How long a wait without futex_waitv sleeps between two looks at all of its words, at first and at
// most.
const (
	firstSlice = time.Millisecond
	lastSlice  = 32 * time.Millisecond
)

// withoutWaitv makes hasWaitv return false, for tests.
var withoutWaitv atomic.Bool

func hasWaitv() bool { return sys.HasFutexWaitv() && !withoutWaitv.Load() }

func waitAny(ctx context.Context, words []Word, limit time.Duration) (int, error) {
	if len(words) == 0 || len(words) > MaxWords {
		panic(fmt.Sprintf("futex: WaitAny of %d words: want 1 to %d", len(words), MaxWords))
	}
	if i := changed(words); i >= 0 {
		return i, nil
	}
	if err := ctx.Err(); err != nil {
		return -1, err
	}
	err := sleep(ctx, words, limit)
	i := changed(words)
	if i >= 0 || err != nil {
		return i, err
	}
	return -1, ctx.Err()
}

// changed returns the index of the first word whose value has changed, -1 if none has.
func changed(words []Word) int {
	for i, w := range words {
		if w.Addr.Load() != w.Val {
			return i
		}
	}
	return -1
}

// sleep makes one sleep on the words. It returns early for no reason, and only errors of the
// kernel.
func sleep(ctx context.Context, words []Word, limit time.Duration) error {
	if len(words) == 1 && ctx.Done() == nil {
		_, err := sys.FutexWait(words[0].Addr, words[0].Val, limit)
		return err
	}
	if !hasWaitv() {
		return sleepInSlices(ctx, words, limit)
	}
	s := sleepers.Get().(*sleeper)
	defer sleepers.Put(s)
	if ctx.Done() == nil {
		return s.sleep(words, limit)
	}
	s.cancelled = new(atomic.Uint32)
	stop := context.AfterFunc(ctx, s.cancel())
	err := s.sleep(words, limit)
	stop()
	s.cancelled = nil
	return err
}

// A sleeper has the arguments of one futex_waitv. Sleepers are pooled because they are too large
// for the stack of each waiter.
type sleeper struct {
	cancelled *atomic.Uint32
	words     [sys.MaxWaitv]sys.FutexWord
}

var sleepers = sync.Pool{New: func() any { return new(sleeper) }}

// cancel returns a function that wakes this sleep. If the function is called after the sleep has
// ended, it does not wake a later sleep of s.
func (s *sleeper) cancel() func() {
	word := s.cancelled
	return func() {
		word.Store(1)
		sys.FutexWake(word, 1, true)
	}
}

func (s *sleeper) sleep(words []Word, limit time.Duration) error {
	n := 0
	for _, w := range words {
		s.words[n] = sys.FutexWord{Addr: w.Addr, Val: w.Val}
		n++
	}
	if s.cancelled != nil {
		s.words[n] = sys.FutexWord{Addr: s.cancelled, Private: true}
		n++
	}
	var err error
	if n <= 4 {
		err = sys.FutexWaitFew(s.words[:n], limit)
	} else {
		err = sys.FutexWaitv(s.words[:n], limit)
	}
	clear(s.words[:n])
	runtime.KeepAlive(words)
	return err
}

// sleepInSlices is sleep without futex_waitv.
func sleepInSlices(ctx context.Context, words []Word, limit time.Duration) error {
	begin := time.Now()
	for slice := firstSlice; ; slice = min(2*slice, lastSlice) {
		if limit > 0 {
			left := limit - time.Since(begin)
			if left <= 0 {
				return nil
			}
			slice = min(slice, left)
		}
		// Only the kernel knows whether a wake or the time ended the sleep: a thread may run long after its wake.
		woken, err := sys.FutexWait(words[0].Addr, words[0].Val, slice)
		if woken || err != nil || changed(words) >= 0 || ctx.Err() != nil {
			return err
		}
	}
}
