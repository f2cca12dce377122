package wait

import (
	"testing"

	"github.com/seed-2e7ecdea/mp/futex"
	"github.com/seed-2e7ecdea/mp/internal/fence"
)

// bits returns the bits S, F and D of a gate.
func bits(g *Gate) uint32 { return g.word.Load() & (sleepers | fenceRequested | fenceDone) }

// The first sleeper pays for a fence. The next ones do not, until quietLimit publishers in a row
// have found no sleeper.
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
		for range quietLimit {
			g.Notify()
		}
		want("nobody has slept", 0)
		g.Arm()
		want("armed", sleepers|fenceRequested)
		sleep()
		want("asleep", sleepers|fenceRequested|fenceDone)
		for range 3 {
			word := sleep().Val
			if sleep().Val != word {
				t.Fatal("a later waiter moves the word")
			}
			if round%2 == 0 {
				g.Notify()
			} else {
				g.NotifyAll()
			}
			want("woken", fenceRequested|fenceDone)
			if g.word.Load()>>3 == word>>3 {
				t.Fatal("a wake does not move the word")
			}
			for range quietLimit - 1 {
				g.Notify()
			}
			want("a short row", fenceRequested|fenceDone)
			sleep()
			want("asleep again", sleepers|fenceRequested|fenceDone)
			g.Pass()
			g.WakeAll()
			want("passed on", sleepers|fenceRequested|fenceDone)
		}
		g.Notify()
		for range quietLimit {
			g.Notify()
		}
	}
}

// D says that a fence came after F was set: a waiter that has called Heavy does not set D if the
// word has moved since it was armed.
func TestGateFenceOfBefore(t *testing.T) {
	if fence.Needed == 0 {
		t.Skip("publishers have fences of their own here")
	}
	g := new(Gate)
	before := g.Arm()
	for range quietLimit + 1 {
		g.Notify()
	}
	g.Arm()
	before.fence()
	if got := bits(g); got != sleepers|fenceRequested {
		t.Fatalf("bits %03b: a fence from before F was set again has set D", got)
	}
	if g.word.CompareAndSwap(before.Val, 0) {
		t.Fatal("the word has not moved")
	}
	// fence does not set D in a word that is not a gate's.
	word := new(Gate)
	word.word.Store(fenceDone | fenceRequested)
	other := Armed{Word: futex.Word{Addr: &word.word, Val: fenceDone | fenceRequested}}
	other.fence()
	if got := word.word.Load(); got != fenceDone|fenceRequested {
		t.Fatalf("the other word is %b", got)
	}
}
