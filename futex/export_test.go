package futex

// ReplaceHasWaitv makes the package believe that futex_waitv is there or not,
// and returns what undoes that.
func ReplaceHasWaitv(has bool) (undo func()) {
	old := hasWaitv
	hasWaitv = func() bool { return has }
	return func() { hasWaitv = old }
}

// HasWaitv tells whether futex_waitv is used.
func HasWaitv() bool { return hasWaitv() }
