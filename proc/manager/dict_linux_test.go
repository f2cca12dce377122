package manager_test

import (
	"context"
	"maps"
	"slices"
	"testing"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/proc/manager"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

func newManager(t testing.TB, o *manager.Options) *manager.Manager {
	t.Helper()
	return Closing(t, Must(manager.New(Within(t), o))(t))
}

func newDict[K comparable, V any](t testing.TB, m *manager.Manager) *manager.Dict[K, V] {
	t.Helper()
	return Closing(t, Must(manager.NewDict[K, V](Within(t), m))(t))
}

func newList[T any](t testing.TB, m *manager.Manager, values ...T) *manager.List[T] {
	t.Helper()
	return Closing(t, Must(manager.NewList(Within(t), m, values...))(t))
}

// wantSlice checks the result of a call that returns a slice.
func wantSlice[T comparable](t testing.TB, what string, want []T) func(got []T, err error) {
	t.Helper()
	return func(got []T, err error) {
		t.Helper()
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v; want %v", what, got, err, want)
		}
	}
}

// wantObjects waits until the manager holds that many objects.
func wantObjects(t testing.TB, m *manager.Manager, n int) {
	t.Helper()
	var s manager.Stats
	defer func() {
		if t.Failed() {
			t.Logf("the manager holds %d objects for %d sessions", s.Objects, s.Sessions)
		}
	}()
	Eventually(t, "the manager holds the right number of objects", func() bool {
		var err error
		s, err = m.Stats(Within(t))
		WantNil(t, "Stats", err)
		return s.Objects == n
	})
}

func TestG02_Dict(t *testing.T) {
	ctx := Within(t)
	d := newDict[string, int](t, newManager(t, nil))
	WantError(t, "Get of no key", Second(d.Get(ctx, "a")), manager.ErrNotFound)
	WantNil(t, "Set", d.Set(ctx, "a", 1))
	WantNil(t, "SetMany", d.SetMany(ctx, manager.Item[string, int]{Key: "b", Value: 2}, manager.Item[string, int]{Key: "a", Value: 3}))
	WantNil(t, "Update", d.Update(ctx, map[string]int{"c": 4}))
	Want(t, "Get", Must(d.Get(ctx, "a"))(t), 3)
	wantSlice(t, "Keys", []string{"a", "b", "c"})(d.Keys(ctx))
	wantSlice(t, "Values", []int{3, 2, 4})(d.Values(ctx))
	wantSlice(t, "Items", []manager.Item[string, int]{{Key: "a", Value: 3}, {Key: "b", Value: 2}, {Key: "c", Value: 4}})(d.Items(ctx))
	v, was, err := d.SetDefault(ctx, "a", 9)
	WantNil(t, "SetDefault", err)
	Want(t, "SetDefault of a key", v, 3)
	Want(t, "SetDefault found the key", was, true)
	v, was, err = d.SetDefault(ctx, "d", 9)
	WantNil(t, "SetDefault", err)
	Want(t, "SetDefault of no key", v, 9)
	Want(t, "SetDefault found the key", was, false)
	if got := Must(d.GetMany(ctx, "a", "no", "d"))(t); !maps.Equal(got, map[string]int{"a": 3, "d": 9}) {
		t.Errorf("GetMany: %v", got)
	}
	Want(t, "Delete", Must(d.Delete(ctx, "b", "no"))(t), 1)
	Want(t, "Contains", Must(d.Contains(ctx, "b"))(t), false)
	Want(t, "Contains", Must(d.Contains(ctx, "a"))(t), true)
	Want(t, "Pop", Must(d.Pop(ctx, "a"))(t), 3)
	WantError(t, "Pop again", Second(d.Pop(ctx, "a")), manager.ErrNotFound)
	if got := Must(d.Copy(ctx))(t); !maps.Equal(got, map[string]int{"c": 4, "d": 9}) {
		t.Errorf("Copy: %v", got)
	}
	k, v, err := d.PopLast(ctx)
	WantNil(t, "PopLast", err)
	Want(t, "PopLast's key", k, "d")
	Want(t, "PopLast's value", v, 9)
	Want(t, "Len", Must(d.Len(ctx))(t), 1)
	WantNil(t, "Clear", d.Clear(ctx))
	Want(t, "Len", Must(d.Len(ctx))(t), 0)
	_, _, err = d.PopLast(ctx)
	WantError(t, "PopLast of nothing", err, manager.ErrNotFound)
	WantNil(t, "Close", d.Close())
	WantError(t, "Len after Close", Second(d.Len(ctx)), manager.ErrClosed)
}

// A share is the argument of fill.
type share struct {
	Dict *manager.Dict[string, []int]
	List *manager.List[string]
	N    int
}

var fill = Task("fill", func(ctx context.Context, s share) (proc.None, error) {
	for i := range s.N {
		if err := s.List.Append(ctx, "x"); err != nil {
			return proc.None{}, err
		}
		if err := s.Dict.Set(ctx, "n", []int{i, i}); err != nil {
			return proc.None{}, err
		}
	}
	return proc.None{}, nil
})

func TestG06_ChildrenShare(t *testing.T) {
	ctx := Within(t)
	m := newManager(t, nil)
	s := share{newDict[string, []int](t, m), newList[string](t, m), 100}
	for range 3 {
		p := Start(t, fill, s)
		defer Result(t, p)
	}
	Eventually(t, "the children have appended 300 values", func() bool { return Must(s.List.Len(ctx))(t) == 300 })
	Eventually(t, "the children's sessions have ended", func() bool { return Must(m.Stats(ctx))(t).Sessions == 1 })
	wantSlice(t, "Get", []int{99, 99})(s.Dict.Get(ctx, "n"))
}

var makeDict = Task("make dict", func(ctx context.Context, m *manager.Manager) (*manager.Dict[string, int], error) {
	d, err := manager.NewDict[string, int](ctx, m)
	if err != nil {
		return nil, err
	}
	return d, d.Set(ctx, "made", 1)
})

func TestResultOutlivesItsMaker(t *testing.T) {
	m := newManager(t, nil)
	d := Result(t, Start(t, makeDict, m))
	Want(t, "Get", Must(d.Get(Within(t), "made"))(t), 1)
	wantObjects(t, m, 1)
	WantNil(t, "Close", d.Close())
	wantObjects(t, m, 0)
}

func TestG02_NestedProxies(t *testing.T) {
	ctx := Within(t)
	m := newManager(t, nil)
	outer := newDict[string, *manager.List[int]](t, m)
	inner := newList(t, m, 1)
	WantNil(t, "Set", outer.Set(ctx, "list", inner))
	WantNil(t, "Close", inner.Close())
	wantObjects(t, m, 2)
	again := Closing(t, Must(outer.Get(ctx, "list"))(t))
	WantNil(t, "Append", again.Append(ctx, 2))
	Want(t, "Delete", Must(outer.Delete(ctx, "list"))(t), 1)
	wantSlice(t, "the list after it was deleted from the dict", []int{1, 2})(again.All(ctx))
	WantNil(t, "Set", outer.Set(ctx, "list", again))
	WantNil(t, "Close", again.Close())
	popped := Closing(t, Must(outer.Pop(ctx, "list"))(t))
	wantSlice(t, "the popped list", []int{1, 2})(popped.All(ctx))
	WantNil(t, "Set", outer.Set(ctx, "list", popped))
	WantNil(t, "Close", popped.Close())
	WantNil(t, "Close", outer.Close())
	wantObjects(t, m, 0)
}

// A nested slice is a copy: only proxies refer to what others see.
func TestG01_NestedSliceIsACopy(t *testing.T) {
	ctx := Within(t)
	l := newList(t, newManager(t, nil), []int{1})
	got := Must(l.Get(ctx, 0))(t)
	got[0] = 2
	wantSlice(t, "Get", []int{1})(l.Get(ctx, 0))
}

func TestMismatch(t *testing.T) {
	m := newManager(t, nil)
	text := Must(newDict[string, int](t, m).MarshalText())(t)
	var other manager.Dict[string, string]
	WantError(t, "UnmarshalText", other.UnmarshalText(text), shm.ErrMismatch)
	var list manager.List[int]
	WantError(t, "UnmarshalText", list.UnmarshalText(text), shm.ErrMismatch)
	WantError(t, "UnmarshalText", list.UnmarshalText([]byte("mp-manager:12")), shm.ErrHandle)
	WantError(t, "NewDict of a channel", Second(manager.NewDict[string, chan int](Within(t), m)), shm.ErrType)
	d := newDict[string, any](t, m)
	WantError(t, "Set of a type that is not registered", d.Set(Within(t), "a", struct{ X int }{1}), ring.ErrEncode)
}

func TestG01_List(t *testing.T) {
	ctx := Within(t)
	l := newList(t, newManager(t, nil), 0, 1, 2)
	WantNil(t, "Append", l.Append(ctx, 3, 4))
	WantNil(t, "Insert", l.Insert(ctx, 1, 10, 11))
	WantNil(t, "Insert beyond the end", l.Insert(ctx, 100, 5))
	wantSlice(t, "All", []int{0, 10, 11, 1, 2, 3, 4, 5})(l.All(ctx))
	WantNil(t, "Set", l.Set(ctx, 1, 20, 21))
	wantSlice(t, "Slice", []int{20, 21})(l.Slice(ctx, 1, 3))
	wantSlice(t, "Slice to the end", []int{4, 5})(l.Slice(ctx, 6, 100))
	WantError(t, "Slice that ends before it begins", Second(l.Slice(ctx, 3, 2)), manager.ErrNotFound)
	WantNil(t, "Delete", l.Delete(ctx, 1, 3))
	Want(t, "Get", Must(l.Get(ctx, 1))(t), 1)
	WantError(t, "Get beyond the end", Second(l.Get(ctx, 6)), manager.ErrNotFound)
	WantError(t, "Get of a negative index", Second(l.Get(ctx, -1)), shm.ErrSize)
	WantError(t, "Set beyond the end", l.Set(ctx, 5, 1, 2), manager.ErrNotFound)
	Want(t, "Pop", Must(l.Pop(ctx))(t), 5)
	Want(t, "PopAt", Must(l.PopAt(ctx, 0))(t), 0)
	WantNil(t, "Repeat", l.Repeat(ctx, 2))
	wantSlice(t, "All", []int{1, 2, 3, 4, 1, 2, 3, 4})(l.All(ctx))
	Want(t, "Index", Must(l.Index(ctx, 2, 2))(t), 5)
	WantError(t, "Index of no element", Second(l.Index(ctx, 9, 0)), manager.ErrNotFound)
	Want(t, "Count", Must(l.Count(ctx, 3))(t), 2)
	Want(t, "Contains", Must(l.Contains(ctx, 3))(t), true)
	Want(t, "Contains", Must(l.Contains(ctx, 9))(t), false)
	WantNil(t, "Remove", l.Remove(ctx, 3))
	wantSlice(t, "All", []int{1, 2, 4, 1, 2, 3, 4})(l.All(ctx))
	WantError(t, "Remove of no element", l.Remove(ctx, 9), manager.ErrNotFound)
	WantNil(t, "Reverse", l.Reverse(ctx))
	Want(t, "Get", Must(l.Get(ctx, 0))(t), 4)
	WantNil(t, "Repeat", l.Repeat(ctx, 0))
	Want(t, "Len", Must(l.Len(ctx))(t), 0)
	WantError(t, "Pop of nothing", Second(l.Pop(ctx)), manager.ErrNotFound)
	WantNil(t, "Append", l.Append(ctx, 1))
	WantNil(t, "Clear", l.Clear(ctx))
	wantSlice(t, "All", []int{})(l.All(ctx))
}
