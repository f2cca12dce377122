package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"

	"github.com/seed-2e7ecdea/mp/shm"
)

// runReap is mpbench reap: it removes the segments of those names, or all, to which no living process
// is attached, and says which. It returns the exit status.
func runReap(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("mpbench reap", flag.ContinueOnError)
	flags.SetOutput(stderr)
	dry := flags.Bool("n", false, "remove nothing, only say what would be removed")
	flags.Usage = func() {
		fmt.Fprintln(stderr, "usage: mpbench reap [-n] [NAME...]\nRemoves the segments of these names, or all in /dev/shm, to which no living process is attached.")
		flags.PrintDefaults()
	}
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return exitUsage
	}
	did, do := "removed", shm.Reap
	if *dry {
		did, do = "would remove", abandoned
	}
	reaped, err := do(flags.Args()...)
	for _, name := range reaped {
		fmt.Fprintf(stdout, "%s %s\n", did, printable(name))
	}
	if err != nil {
		fmt.Fprintln(stderr, "mpbench reap:", err)
		return exitFailed
	}
	if len(reaped) == 0 {
		fmt.Fprintln(stdout, "no segment is abandoned")
	}
	return 0
}

// abandoned returns the names that shm.Reap would.
func abandoned(names ...string) ([]string, error) {
	var found []string
	for info, err := range shm.List() {
		if err != nil {
			return nil, err
		}
		if !info.Attached && (len(names) == 0 || slices.Contains(names, info.Name)) {
			found = append(found, info.Name)
		}
	}
	return found, nil
}
