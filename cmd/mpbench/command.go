package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

// A command is one of the things that mpbench does: mpbench NAME ARGUMENTS.
type command struct {
	name      string
	arguments string              // as help shows them
	does      string              // one sentence
	flags     func(*flag.FlagSet) // adds its flags; nil: it has none
	run       func(ctx context.Context, args []string, stdout, stderr *os.File) int
}

// commands returns all commands. The first one runs if none is named.
func commands() []command {
	return []command{
		{"run", "[flags]", "Measures transports and prints a table.", new(runFlags).add, runBench},
		{"compare", "[flags] OLD NEW [-- flags of run]", "Says what is faster or slower in NEW than in OLD: two files of run -json, of run -benchfmt or of go test -bench, or two builds of mpbench, which it runs in turn.", new(compareFlags).add, runCompare},
		{"doctor", "[flags]", "Says what this machine offers and lacks, and what mp does without it.", new(doctorFlags).add, runDoctor},
		{"stat", "[flags] [NAME]", "Prints the processes and objects of segment NAME, or of all segments in /dev/shm.", new(statFlags).add, runStat},
		{"reap", "[flags] [NAME...]", "Removes the segments of these names, or all in /dev/shm, to which no living process is attached.", new(reapFlags).add, runReap},
		{"completion", "bash|zsh|fish", "Prints a script by which a shell completes commands and flags: source <(mpbench completion bash).", nil, runCompletion},
		{"man", "", "Prints the manual page: mpbench man > mpbench.1.", nil, runManual},
		{"help", "[COMMAND]", "Prints this list, or the flags of a command.", nil, runHelp},
	}
}

func findCommand(name string) *command {
	list := commands()
	for i := range list {
		if list[i].name == name {
			return &list[i]
		}
	}
	return nil
}

// dispatch runs the command that args name.
func dispatch(ctx context.Context, args []string, stdout, stderr *os.File) int {
	if len(args) > 0 {
		if c := findCommand(args[0]); c != nil {
			return c.run(ctx, args[1:], stdout, stderr)
		}
	}
	return runBench(ctx, args, stdout, stderr)
}

// runHelp is mpbench help.
func runHelp(ctx context.Context, args []string, stdout, stderr *os.File) int {
	if len(args) > 0 {
		c := findCommand(args[0])
		if c == nil {
			fmt.Fprintf(stderr, "mpbench help: no command %q: mpbench help lists them\n", args[0])
			return exitUsage
		}
		if c.name != "help" {
			var text strings.Builder
			newFlags(c.name, &text, c.flags).Usage()
			return printed(stdout, text.String())
		}
	}
	var text strings.Builder
	text.WriteString("mpbench measures shared-memory and kernel transports between processes.\n\n")
	for _, c := range commands() {
		fmt.Fprintf(&text, "  %s\n%s", strings.TrimSpace("mpbench "+c.name+" "+c.arguments), wrapHelp("    \t"+c.does))
	}
	text.WriteString("\nWithout a command, mpbench runs the command run. mpbench help COMMAND prints the flags of a command.\n")
	return printed(stdout, text.String())
}

// printed prints text, and returns the exit status.
func printed(to io.Writer, text string) int {
	if _, err := io.WriteString(to, text); err != nil {
		return exitFailed
	}
	return 0
}

// newFlags returns the set of flags that add adds, those of a command, with its usage.
func newFlags(name string, to io.Writer, add func(*flag.FlagSet)) *flag.FlagSet {
	c := findCommand(name)
	flags := flag.NewFlagSet("mpbench "+name, flag.ContinueOnError)
	flags.SetOutput(to)
	if add != nil {
		add(flags)
	}
	flags.Usage = func() {
		fmt.Fprintf(to, "usage: mpbench %s %s\n%s", c.name, c.arguments, wrapHelp(c.does))
		printFlags(flags, to)
	}
	return flags
}

// parseFlags parses the flags of a command that takes least to most further arguments. If done is
// true the command is over, with that exit status.
func parseFlags(flags *flag.FlagSet, args []string, least, most int) (code int, done bool) {
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0, true
	case err != nil:
		return exitUsage, true
	case flags.NArg() < least || flags.NArg() > most:
		flags.Usage()
		return exitUsage, true
	}
	return 0, false
}
