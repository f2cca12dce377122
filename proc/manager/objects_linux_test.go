package manager_test

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"slices"
	"strings"
	"testing"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/proc/manager"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

func init() { proc.RegisterError(errStock) }

var errStock = errors.New("out of stock")

func newSet[T comparable](t testing.TB, m *manager.Manager, values ...T) *manager.Set[T] {
	t.Helper()
	return Closing(t, Must(manager.NewSet(Within(t), m, values...))(t))
}

func TestSet(t *testing.T) {
	ctx := Within(t)
	m := newManager(t, nil)
	s := newSet(t, m, "a", "b", "a")
	Want(t, "Add", Must(s.Add(ctx, "b", "c"))(t), 1)
	wantSlice(t, "All", []string{"a", "b", "c"})(s.All(ctx))
	Want(t, "Contains", Must(s.Contains(ctx, "c"))(t), true)
	Want(t, "Discard", Must(s.Discard(ctx, "c", "no"))(t), 1)
	Want(t, "Contains", Must(s.Contains(ctx, "c"))(t), false)
	other, third := newSet(t, m, "b", "x", "y"), newSet(t, m, "x", "b", "z")
	wantSlice(t, "Union", []string{"a", "b", "x", "y", "z"})(s.Union(ctx, other, third))
	wantSlice(t, "Intersection", []string{"b", "x"})(other.Intersection(ctx, third))
	wantSlice(t, "Difference", []string{"y"})(other.Difference(ctx, third, s))
	wantSlice(t, "Union with itself", []string{"a", "b"})(s.Union(ctx, s))
	WantError(t, "Union with another manager's set", Second(s.Union(ctx, newSet(t, newManager(t, nil), "q"))), shm.ErrMismatch)
	Want(t, "Pop", Must(s.Pop(ctx))(t), "b")
	WantNil(t, "Clear", s.Clear(ctx))
	Want(t, "Len", Must(s.Len(ctx))(t), 0)
	WantError(t, "Pop of nothing", Second(s.Pop(ctx)), manager.ErrNotFound)
}

// What two sets have in common, and operations whose result replaces a set. A set keeps the order of
// the values that it had.
func TestSetUpdates(t *testing.T) {
	ctx := Within(t)
	m := newManager(t, nil)
	s, other, third := newSet(t, m, "a", "b", "c"), newSet(t, m, "c", "x", "b"), newSet(t, m, "c")
	wantSlice(t, "SymmetricDifference", []string{"a", "x"})(s.SymmetricDifference(ctx, other))
	wantSlice(t, "SymmetricDifference from itself", []string{})(s.SymmetricDifference(ctx, s))
	for _, test := range []struct {
		this, that                 *manager.Set[string]
		disjoint, subset, superset bool
	}{
		{s, other, false, false, false},
		{s, third, false, false, true},
		{third, s, false, true, false},
		{s, s, false, true, true},
		{third, newSet(t, m, "q"), true, false, false},
		{newSet[string](t, m), s, true, true, false},
	} {
		Want(t, "IsDisjoint", Must(test.this.IsDisjoint(ctx, test.that))(t), test.disjoint)
		Want(t, "IsSubset", Must(test.this.IsSubset(ctx, test.that))(t), test.subset)
		Want(t, "IsSuperset", Must(test.this.IsSuperset(ctx, test.that))(t), test.superset)
	}
	WantNil(t, "Update", s.Update(ctx, other, third))
	wantSlice(t, "All", []string{"a", "b", "c", "x"})(s.All(ctx))
	WantNil(t, "IntersectionUpdate", s.IntersectionUpdate(ctx, other))
	wantSlice(t, "All", []string{"b", "c", "x"})(s.All(ctx))
	WantNil(t, "DifferenceUpdate", s.DifferenceUpdate(ctx, third))
	wantSlice(t, "All", []string{"b", "x"})(s.All(ctx))
	WantNil(t, "SymmetricDifferenceUpdate", s.SymmetricDifferenceUpdate(ctx, newSet(t, m, "x", "y")))
	wantSlice(t, "All", []string{"b", "y"})(s.All(ctx))
	WantNil(t, "SymmetricDifferenceUpdate by itself", s.SymmetricDifferenceUpdate(ctx, s))
	Want(t, "Len", Must(s.Len(ctx))(t), 0)
	wantSlice(t, "All of the other", []string{"c", "x", "b"})(other.All(ctx))
}

// A short request must not make the manager's process use up its memory.
func TestMaxRepeat(t *testing.T) {
	ctx := Within(t)
	m := newManager(t, &manager.Options{MaxRepeat: 10})
	l := Closing(t, Must(manager.NewList(ctx, m, 1, 2, 3))(t))
	for _, n := range []int{4, 1 << 30, math.MaxInt} {
		err := l.Repeat(ctx, n)
		WantError(t, "Repeat beyond the limit", err, manager.ErrTooLong)
		WantError(t, "Repeat beyond the limit", err, shm.ErrSize)
	}
	wantSlice(t, "All", []int{1, 2, 3})(l.All(ctx))
	WantNil(t, "Repeat", l.Repeat(ctx, 3))
	WantNil(t, "Append", l.Append(ctx, 1, 2, 3)) // what the client sends itself has no limit
	Want(t, "Len", Must(l.Len(ctx))(t), 12)
	WantNil(t, "Repeat once", l.Repeat(ctx, 1))
	WantError(t, "New", Second(manager.New(ctx, &manager.Options{MaxRepeat: -1})), shm.ErrSize)
}

func TestG03_Namespace(t *testing.T) {
	ctx := Within(t)
	const speed, name = manager.Attribute[float64]("speed"), manager.Attribute[string]("name")
	n := Closing(t, Must(manager.NewNamespace(ctx, newManager(t, nil)))(t))
	WantError(t, "Get", Second(speed.Get(ctx, n)), manager.ErrNotFound)
	WantNil(t, "Set", speed.Set(ctx, n, 2.5))
	WantNil(t, "Set", name.Set(ctx, n, "bob"))
	Want(t, "Get", Must(speed.Get(ctx, n))(t), 2.5)
	wantSlice(t, "Names", []string{"speed", "name"})(n.Names(ctx))
	WantError(t, "Get as another type", Second(manager.Attribute[int]("speed").Get(ctx, n)), shm.ErrMismatch)
	WantNil(t, "Delete", n.Delete(ctx, "speed"))
	WantError(t, "Delete again", n.Delete(ctx, "speed"), manager.ErrNotFound)
}

var bump = manager.OnDict("bump", func(_ context.Context, d *manager.DictState[string, int], key string) (int, error) {
	n, _ := d.Get(key)
	d.Set(key, n+1)
	return n + 1, nil
})

var sortList = manager.OnList("sort", func(_ context.Context, l *manager.ListState[int], _ proc.None) (proc.None, error) {
	all := l.All()
	slices.Sort(all)
	l.Replace(all)
	return proc.None{}, nil
})

// prune deletes the keys with small values, and returns how many are left.
var prune = manager.OnDict("prune", func(_ context.Context, d *manager.DictState[string, int], least int) (int, error) {
	for _, key := range d.Keys() {
		if n, _ := d.Get(key); n < least {
			d.Delete(key)
		}
	}
	if d.Delete("a key that nobody has set") {
		return 0, errStock
	}
	return d.Len(), nil
})

// double replaces each element by its double, and returns how many there are.
var double = manager.OnList("double", func(_ context.Context, l *manager.ListState[int], _ proc.None) (int, error) {
	for i := range l.Len() {
		l.Set(i, 2*l.Get(i))
	}
	return l.Len(), nil
})

var fails = manager.OnList("fails", func(_ context.Context, l *manager.ListState[int], how string) (proc.None, error) {
	switch how {
	case "panic":
		l.Get(1000)
	case "error":
		return proc.None{}, errStock
	}
	return proc.None{}, nil
})

var waits = manager.OnDict("waits", func(ctx context.Context, d *manager.DictState[string, int], e *psync.Event) (int, error) {
	if err := e.Set(); err != nil {
		return 0, err
	}
	<-ctx.Done()
	return 0, ctx.Err()
})

func TestApply(t *testing.T) {
	ctx := Within(t)
	m := newManager(t, nil)
	d := newDict[string, int](t, m)
	All(t, "bump", 8, func(int) error {
		for range 100 {
			if _, err := bump.Apply(ctx, d, "n"); err != nil {
				return err
			}
		}
		return nil
	})
	Want(t, "Get", Must(d.Get(ctx, "n"))(t), 800)
	l := newList(t, m, 3, 1, 2)
	WantNil(t, "sort", Second(sortList.Apply(ctx, l, proc.None{})))
	wantSlice(t, "All", []int{1, 2, 3})(l.All(ctx))
	_, err := fails.Apply(ctx, l, "error")
	WantError(t, "a function that fails", err, errStock)
	if remote := (*manager.RemoteError)(nil); !errors.As(err, &remote) || remote.Function != "fails" {
		t.Errorf("a function that fails: %#v, not a RemoteError of it", err)
	}
	if _, err = fails.Apply(ctx, l, "panic"); err == nil || !strings.Contains(err.Error(), "panic: runtime error: index out of range") {
		t.Errorf("a function that panics: %v", err)
	}
	wantSlice(t, "All after a panic", []int{1, 2, 3})(l.All(ctx))
}

// The context of a function ends when its caller's does. Others do not wait any longer.
func TestApplyEndsWithItsContext(t *testing.T) {
	m := newManager(t, nil)
	d := newDict[string, int](t, m)
	seg := Must(m.Segment())(t)
	e := Closing(t, Must(psync.NewEvent(seg, ""))(t))
	ctx, cancel := context.WithCancel(Within(t))
	applied := Async(func() error { return Second(waits.Apply(ctx, d, e)) })
	WantNil(t, "the function has begun", e.Wait(Within(t)))
	other := Async(func() error { return d.Set(Within(t), "a", 1) })
	cancel()
	WantError(t, "Apply", Await(t, applied, "Apply"), context.Canceled)
	WantNil(t, "Set", Await(t, other, "Set"))
}

type stock struct{ n map[string]int }

func (s *stock) Close() error {
	closings.Put(context.Background(), true)
	return nil
}

// closings is set in the manager's process by the constructor.
var closings *ring.Queue[bool]

var (
	stocks = manager.RegisterType("stock", func(_ context.Context, q *ring.Queue[bool]) (*stock, error) {
		if q == nil {
			return nil, fs.ErrInvalid
		}
		closings = q
		return &stock{make(map[string]int)}, nil
	})
	add = manager.RegisterMethod(stocks, "add", func(_ context.Context, s *stock, what string) (int, error) {
		s.n[what]++
		return s.n[what], nil
	})
	remove = manager.RegisterMethod(stocks, "remove", func(_ context.Context, s *stock, what string) (proc.None, error) {
		if s.n[what] == 0 {
			return proc.None{}, errStock
		}
		s.n[what]--
		return proc.None{}, nil
	})
	addInChild = Task("add in child", func(ctx context.Context, s *manager.Instance[stock]) (int, error) {
		return add.Call(ctx, s, "tea")
	})
)

func TestG04_RegisteredType(t *testing.T) {
	ctx := Within(t)
	m := newManager(t, nil)
	q := Closing(t, Must(ring.NewQueue[bool](Must(m.Segment())(t), "", 4, nil))(t))
	s := Closing(t, Must(stocks.New(ctx, m, q))(t))
	Want(t, "add", Must(add.Call(ctx, s, "tea"))(t), 1)
	Want(t, "add in a child", Result(t, Start(t, addInChild, s)), 2)
	WantNil(t, "remove", Second(remove.Call(ctx, s, "tea")))
	WantError(t, "remove of nothing", Second(remove.Call(ctx, s, "milk")), errStock)
	WantError(t, "a constructor that fails", Second(stocks.New(ctx, m, nil)), fs.ErrInvalid)
	WantNil(t, "Close", s.Close())
	Want(t, "the object was closed", Must(q.Get(ctx))(t), true)
	WantError(t, "add after Close", Second(add.Call(ctx, s, "tea")), manager.ErrClosed)
}

// A Close of a registered type that blocks does not hold up its client.
func TestCloseBlocks(t *testing.T) {
	ctx := Within(t)
	m := newManager(t, nil)
	q := Closing(t, Must(ring.NewQueue[bool](Must(m.Segment())(t), "", 4, nil))(t))
	s := Must(stocks.New(ctx, m, q))(t)
	n := 0
	for q.TryPut(false) == nil {
		n++
	}
	WantNil(t, "Close", s.Close()) // stock.Close waits for space
	d := newDict[string, int](t, m)
	for i := range 100 {
		WantNil(t, "Set", d.Set(ctx, "key", i))
	}
	for range n {
		Want(t, "what filled the queue", Must(q.Get(ctx))(t), false)
	}
	Want(t, "the object was closed", Must(q.Get(ctx))(t), true)
}

// A function changes a dict or a list in place.
func TestFunctionChanges(t *testing.T) {
	ctx := Within(t)
	m := newManager(t, nil)
	d := newDict[string, int](t, m)
	for i, key := range []string{"a", "b", "c", "d"} {
		WantNil(t, "Set", d.Set(ctx, key, i))
	}
	Want(t, "prune", Must(prune.Apply(ctx, d, 2))(t), 2)
	wantSlice(t, "Keys", []string{"c", "d"})(d.Keys(ctx))
	l := newList(t, m, 1, 2, 3)
	Want(t, "double", Must(double.Apply(ctx, l, proc.None{}))(t), 3)
	wantSlice(t, "All", []int{2, 4, 6})(l.All(ctx))
}

// A set and a namespace are found again by their text, as a dict and a list are.
func TestSetAndNamespaceByText(t *testing.T) {
	ctx := Within(t)
	m := newManager(t, nil)
	set := Closing(t, Must(manager.NewSet(ctx, m, "x", "y"))(t))
	space := Closing(t, Must(manager.NewNamespace(ctx, m))(t))
	const name = manager.Attribute[string]("name")
	WantNil(t, "Set", name.Set(ctx, space, "bob"))
	var otherSet manager.Set[string]
	WantNil(t, "UnmarshalText of a set", otherSet.UnmarshalText(Must(set.MarshalText())(t)))
	defer otherSet.Close()
	wantSlice(t, "All", []string{"x", "y"})(otherSet.All(ctx))
	var otherSpace manager.Namespace
	WantNil(t, "UnmarshalText of a namespace", otherSpace.UnmarshalText(Must(space.MarshalText())(t)))
	defer otherSpace.Close()
	Want(t, "Get", Must(name.Get(ctx, &otherSpace))(t), "bob")
	WantError(t, "UnmarshalText as a set of another type", new(manager.Set[int]).UnmarshalText(Must(set.MarshalText())(t)), shm.ErrMismatch)
	WantError(t, "UnmarshalText of a set as a namespace", new(manager.Namespace).UnmarshalText(Must(set.MarshalText())(t)), shm.ErrMismatch)
}

// A registered function may use other objects of its manager.
var move = manager.OnList("move", func(ctx context.Context, l *manager.ListState[int], to *manager.List[int]) (int, error) {
	defer to.Close()
	all := l.All()
	l.Replace(nil)
	return len(all), to.Append(ctx, all...)
})

func TestFunctionUsesOtherObjects(t *testing.T) {
	ctx := Within(t)
	m := newManager(t, nil)
	from, to := newList(t, m, 1, 2, 3), newList[int](t, m)
	Want(t, "move", Must(move.Apply(ctx, from, to))(t), 3)
	wantSlice(t, "All", []int{1, 2, 3})(to.All(ctx))
	WantNil(t, "Close", to.Close())
	wantObjects(t, m, 1)
}
