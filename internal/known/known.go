// Package known lists the sentinel errors that keep their identity on the way
// from one process to another: both sides know them by their text.
package known

import (
	"errors"
	"slices"
	"sync"
)

var known = struct {
	mu     sync.Mutex
	byText map[string]error
}{byText: make(map[string]error)}

// Register adds errors to the list. It panics if another error with the same
// text is listed.
func Register(sentinels ...error) {
	known.mu.Lock()
	defer known.mu.Unlock()
	for _, s := range sentinels {
		if old, ok := known.byText[s.Error()]; ok && old != s {
			panic("proc: two errors registered with the text " + s.Error())
		}
		known.byText[s.Error()] = s
	}
}

// Keys returns the keys of the listed errors that err wraps.
func Keys(err error) []string {
	known.mu.Lock()
	defer known.mu.Unlock()
	var keys []string
	for text, s := range known.byText {
		if errors.Is(err, s) {
			keys = append(keys, text)
		}
	}
	slices.Sort(keys)
	return keys
}

// Errors returns the listed errors with these keys.
func Errors(keys []string) []error {
	known.mu.Lock()
	defer known.mu.Unlock()
	var list []error
	for _, k := range keys {
		if s, ok := known.byText[k]; ok {
			list = append(list, s)
		}
	}
	return list
}
