package futex

// WithoutWaitv makes the package work as if the kernel had no futex_waitv, and returns a function
// that undoes that.
func WithoutWaitv() (undo func()) {
	withoutWaitv.Store(true)
	return func() { withoutWaitv.Store(false) }
}

// HasWaitv reports whether futex_waitv is used.
func HasWaitv() bool { return hasWaitv() }
