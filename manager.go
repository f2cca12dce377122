package mp

import (
	"context"

	"github.com/seed-2e7ecdea/mp/proc/manager"
)

// The objects of a manager's process. A call of one of their methods is a trip to that process.
type (
	// A Manager is a process that holds dicts, lists, sets and namespaces for other processes.
	Manager = manager.Manager
	// ManagerOptions configure a Manager. A nil pointer means all defaults.
	ManagerOptions = manager.Options
	// A Dict is a map: Get, Set, Pop, SetDefault, Update, GetMany, Delete, Keys, Items, Copy.
	Dict[K comparable, V any] = manager.Dict[K, V]
	// A List is a sequence: Append, Insert, Get, Set, Pop, Delete, Slice, All, Index, Reverse.
	List[T any] = manager.List[T]
	// A Set is a set: Add, Discard, Contains, Pop, All, Union, Intersection, Difference.
	Set[T comparable] = manager.Set[T]
	// A Namespace is a set of named values of any types, which an Attribute sets and gets.
	Namespace = manager.Namespace
	// An Attribute is the name of a value in Namespaces: Set, Get.
	Attribute[T any] = manager.Attribute[T]
)

// Errors of a manager's objects.
var (
	// ErrNotFound means that a Dict has no such key, a List no such element, a Namespace no such
	// attribute.
	ErrNotFound = manager.ErrNotFound
	// ErrServerDied means that the manager's process has ended.
	ErrServerDied = manager.ErrServerDied
)

// NewManager starts a manager's process: see manager.New.
func NewManager(ctx context.Context, o *ManagerOptions) (*Manager, error) {
	return manager.New(ctx, o)
}

// NewDict makes an empty dict in m's process.
func NewDict[K comparable, V any](ctx context.Context, m *Manager) (*Dict[K, V], error) {
	return manager.NewDict[K, V](ctx, m)
}

// NewList makes a list of these values in m's process.
func NewList[T any](ctx context.Context, m *Manager, values ...T) (*List[T], error) {
	return manager.NewList(ctx, m, values...)
}

// NewSet makes a set of these values in m's process.
func NewSet[T comparable](ctx context.Context, m *Manager, values ...T) (*Set[T], error) {
	return manager.NewSet(ctx, m, values...)
}

// NewNamespace makes a namespace without attributes in m's process.
func NewNamespace(ctx context.Context, m *Manager) (*Namespace, error) {
	return manager.NewNamespace(ctx, m)
}
