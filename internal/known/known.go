// Package known lists the sentinel errors that errors.Is finds also after an error has travelled
// from one process to another. A sentinel travels as its text, so all texts differ.
package known

import (
	"errors"
	"fmt"
	"slices"
	"sync"
)

var known = struct {
	mu     sync.Mutex
	byText map[string]error
}{byText: make(map[string]error)}

// Register adds sentinels to the list. It panics if the list has another error with the same text.
func Register(sentinels ...error) {
	known.mu.Lock()
	defer known.mu.Unlock()
	for _, s := range sentinels {
		if old, ok := known.byText[s.Error()]; ok && old != s {
			panic(fmt.Sprintf("proc: RegisterError: two errors have the text %q: each needs a text of its own", s.Error()))
		}
		known.byText[s.Error()] = s
	}
}

// Texts returns the texts of the listed errors that err wraps, sorted.
func Texts(err error) []string {
	known.mu.Lock()
	defer known.mu.Unlock()
	var texts []string
	for text, s := range known.byText {
		if errors.Is(err, s) {
			texts = append(texts, text)
		}
	}
	slices.Sort(texts)
	return texts
}

// Errors returns the listed errors that have these texts. It skips texts that are not listed.
func Errors(texts []string) []error {
	known.mu.Lock()
	defer known.mu.Unlock()
	var list []error
	for _, text := range texts {
		if s, ok := known.byText[text]; ok {
			list = append(list, s)
		}
	}
	return list
}
