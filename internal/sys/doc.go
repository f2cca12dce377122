// Package sys is the one place that calls the operating system below the
// standard library: futexes, memory files, record locks, pidfds, barriers. It
// alone imports golang.org/x/sys/unix. On systems other than Linux every
// function fails with errors.ErrUnsupported.
package sys
