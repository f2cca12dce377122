// Package futex waits and wakes on 32-bit words in memory that processes
// share: the kernel's futexes, without the PRIVATE flag, with contexts.
//
// A word is any *atomic.Uint32 that lies in shared mapped memory, or on the
// heap if only one process uses it; never on a stack. The usual use is
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
// and on the other side a change of the word, then Wake. A goroutine that
// sleeps here holds an OS thread.
//
// Cancellation wakes only the waiter whose context ended. A waiter that is
// cancelled may have been counted by a Wake: if it leaves, it should wake
// another in its place.
package futex

import (
	"context"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// All, as Wake's n, wakes everyone.
const All = math.MaxInt32

// MaxWords is the number of words that WaitAny takes.
const MaxWords = sys.MaxWaitv - 1

// A Word is one word to wait on and the value that it had.
type Word struct {
	Addr *atomic.Uint32
	Val  uint32
}

// Wait blocks while *addr is val, until it is woken, or ctx ends. It returns
// nil when it was woken, when the word had another value at once, and also for
// no reason: the caller looks again. It returns ctx's error only if the word
// still had the value.
func Wait(ctx context.Context, addr *atomic.Uint32, val uint32) error {
	_, err := waitAny(ctx, []Word{{addr, val}}, 0)
	return err
}

// WaitAny blocks while every word has its value, until one of them is woken,
// or ctx ends. It returns the index of a word whose value has changed, or -1
// if none has: it may have been woken all the same, and the caller looks
// again. Like Wait it prefers a change to ctx's error. It takes at most
// MaxWords words.
//
// Without futex_waitv (before Linux 5.16, and in some sandboxes) it waits on
// the first word alone and looks at the others from time to time: after 1 ms at
// first, later every 32 ms.
func WaitAny(ctx context.Context, words ...Word) (int, error) {
	return waitAny(ctx, words, 0)
}

// WaitAnyFor is WaitAny that also returns -1 and nil when d has passed, if d
// is positive.
func WaitAnyFor(ctx context.Context, d time.Duration, words ...Word) (int, error) {
	return waitAny(ctx, words, d)
}

// Wake wakes up to n of those who wait on addr, All for everyone, and returns
// how many it woke. That number proves nothing about who will act: a woken
// process may be killed, or its context may have ended.
func Wake(addr *atomic.Uint32, n int) (int, error) {
	return sys.FutexWake(addr, n, false)
}

// The slices of a wait that can't watch all of its words at once.
const (
	firstSlice = time.Millisecond
	lastSlice  = 32 * time.Millisecond
)

// withoutWaitv is set by tests.
var withoutWaitv atomic.Bool

func hasWaitv() bool { return sys.HasFutexWaitv() && !withoutWaitv.Load() }

func waitAny(ctx context.Context, words []Word, limit time.Duration) (int, error) {
	if len(words) == 0 || len(words) > MaxWords {
		panic("futex: WaitAny takes 1 to 127 words")
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

func changed(words []Word) int {
	for i, w := range words {
		if w.Addr.Load() != w.Val {
			return i
		}
	}
	return -1
}

func sleep(ctx context.Context, words []Word, limit time.Duration) error {
	if len(words) == 1 && ctx.Done() == nil {
		return sys.FutexWait(words[0].Addr, words[0].Val, limit)
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

// A sleeper holds the arguments of one futex_waitv off the stack.
type sleeper struct {
	cancelled *atomic.Uint32
	words     [sys.MaxWaitv]sys.FutexWord
}

var sleepers = sync.Pool{New: func() any { return new(sleeper) }}

// cancel returns the function that wakes this sleep and no later one.
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
		slept := time.Now()
		if err := sys.FutexWait(words[0].Addr, words[0].Val, slice); err != nil {
			return err
		}
		if time.Since(slept) < slice || changed(words) >= 0 || ctx.Err() != nil {
			return nil
		}
	}
}
