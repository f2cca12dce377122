package wait

import (
	"testing"

	"github.com/seed-2e7ecdea/mp/futex"
	"github.com/seed-2e7ecdea/mp/internal/fence"
)

// bits are those of a gate that a test looks at.
func bits(g *Gate) uint32 { return g.word.Load() & (sleepersBit | fenceBit | doneBit) }

// The first sleeper pays for a fence, the next ones don't, until a row of
// publishers has found nobody asleep.
func TestGateFence(t *testing.T) {
	if fence.Needed == 0 {
		t.Skip("publishers have fences of their own here")
	}
	if !fence.Heavy() {
		t.Skip("the kernel gives no fence")
	}
	g := new(Gate)
	want := func(when string, want uint32) {
		t.Helper()
		if got := bits(g); got != want {
			t.Fatalf("%s: bits %03b, want %03b", when, got, want)
		}
	}
	sleep := func() Armed {
		t.Helper()
		a := g.Arm()
		if !a.fence() {
			t.Fatal("no fence")
		}
		if a.Val != g.word.Load() {
			t.Fatal("the word is not as it was armed")
		}
		return a
	}
	for round := range 3 {
		want("at first", 0)
		for range quietRow {
			g.Notify()
		}
		want("nobody has slept", 0)
		g.Arm()
		want("armed", sleepersBit|fenceBit)
		sleep()
		want("asleep", sleepersBit|fenceBit|doneBit)
		for range 3 {
			word := sleep().Val
			if sleep().Val != word {
				t.Fatal("who comes later moves the word")
			}
			if round%2 == 0 {
				g.Notify()
			} else {
				g.NotifyAll()
			}
			want("woken", fenceBit|doneBit)
			if g.word.Load()>>3 == word>>3 {
				t.Fatal("a wake does not move the word")
			}
			for range quietRow - 1 {
				g.Notify()
			}
			want("a short row", fenceBit|doneBit)
			sleep()
			want("asleep again", sleepersBit|fenceBit|doneBit)
			g.Pass()
			g.Rouse()
			want("passed on", sleepersBit|fenceBit|doneBit)
		}
		g.Notify()
		for range quietRow {
			g.Notify()
		}
	}
}

// D says that a fence came after F: who called Heavy does not set it once the
// word has moved.
func TestGateFenceOfBefore(t *testing.T) {
	if fence.Needed == 0 {
		t.Skip("publishers have fences of their own here")
	}
	g := new(Gate)
	before := g.Arm()
	for range quietRow + 1 {
		g.Notify()
	}
	g.Arm()
	before.fence()
	if got := bits(g); got != sleepersBit|fenceBit {
		t.Fatalf("bits %03b: a fence from before F was set again counts", got)
	}
	if g.word.CompareAndSwap(before.Val, 0) {
		t.Fatal("the word has not moved")
	}
	// Another word than that of a gate is never D.
	word := new(Gate)
	word.word.Store(doneBit | fenceBit)
	other := Armed{Word: futex.Word{Addr: &word.word, Val: doneBit | fenceBit}}
	other.fence()
	if got := word.word.Load(); got != doneBit|fenceBit {
		t.Fatalf("the word of another is %b", got)
	}
}
