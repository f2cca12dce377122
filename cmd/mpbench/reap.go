package main

import (
	"context"
	"flag"
	"fmt"
	"math"
	"os"
	"slices"

	"github.com/seed-2e7ecdea/mp/shm"
)

// reapFlags are the flags of mpbench reap.
type reapFlags struct{ dry bool }

func (o *reapFlags) add(f *flag.FlagSet) {
	f.BoolVar(&o.dry, "n", false, "remove nothing, only say what would be removed")
}

// runReap is mpbench reap: it removes the segments of those names, or all, to which no living process
// is attached, and says which. It returns the exit status.
func runReap(_ context.Context, args []string, stdout, stderr *os.File) int {
	var o reapFlags
	flags := newFlags("reap", stderr, o.add)
	if code, done := parseFlags(flags, args, 0, math.MaxInt); done {
		return code
	}
	did, do := "removed", shm.Reap
	if o.dry {
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
