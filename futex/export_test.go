package futex

// WithoutWaitv makes the package believe that futex_waitv is not there, and
// returns what undoes that.
func WithoutWaitv() (undo func()) {
	withoutWaitv.Store(true)
	return func() { withoutWaitv.Store(false) }
}

// HasWaitv tells whether futex_waitv is used.
func HasWaitv() bool { return hasWaitv() }
