package proc

import "os"

// Options of a process. The zero value and nil are the defaults.
type Options struct {
	// Name is for people: several processes may have the same. The default is
	// the task's name with a number ("greet-1", and "greet-1:2" for the second
	// child of the first).
	Name string

	// Env ("KEY=value") is added to the environment of this process, which the
	// child inherits.
	Env []string

	// Dir is the child's working directory. The default is this process's.
	Dir string

	// Stdin, Stdout and Stderr are the child's. The defaults are /dev/null,
	// os.Stdout and os.Stderr. They may be closed as soon as Start has
	// returned.
	Stdin, Stdout, Stderr *os.File
}
