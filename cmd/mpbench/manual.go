package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

// runManual is mpbench man: it prints the manual page, made of the same texts as help.
func runManual(_ context.Context, args []string, stdout, stderr *os.File) int {
	if code, done := parseFlags(newFlags("man", stderr, nil), args, 0, 0); done {
		return code
	}
	if _, err := io.WriteString(stdout, manual()); err != nil {
		fmt.Fprintln(stderr, "mpbench man:", err)
		return exitFailed
	}
	return 0
}

// manual returns the manual page in the language of man.
func manual() string {
	var b strings.Builder
	b.WriteString(".TH MPBENCH 1\n.SH NAME\nmpbench \\- measure transports between processes\n.SH SYNOPSIS\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, ".B mpbench %s\n", c.name)
		if c.arguments != "" {
			fmt.Fprintln(&b, roff(c.arguments))
		}
		b.WriteString(".br\n")
	}
	b.WriteString(".SH COMMANDS\nWithout a command it is\n.BR run .\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, ".SS %s\n%s\n", c.name, roff(c.does))
		for _, f := range flagsOf(&c) {
			fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roff(f.name), roff(f.does))
		}
	}
	b.WriteString(`.SH EXIT STATUS
0 if all went well; 1 if a run failed, if a file could not be written, or if compare found something
slower; 2 if a flag has a value that is not allowed; 130 if mpbench was interrupted.
`)
	return b.String()
}

// roff returns text as man shows it unchanged.
func roff(text string) string {
	text = strings.ReplaceAll(text, `\`, `\e`)
	text = strings.ReplaceAll(text, "-", `\-`)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	return text
}

// A flagText is a flag as help shows it: "-sizes list", and what it does.
type flagText struct{ name, does string }

// flagsOf returns the flags of a command.
func flagsOf(c *command) (list []flagText) {
	newFlags(c.name, io.Discard, c.flags).VisitAll(func(f *flag.Flag) {
		value, does := flag.UnquoteUsage(f)
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" {
			does += " (default " + f.DefValue + ")"
		}
		list = append(list, flagText{strings.TrimSpace("-" + f.Name + " " + value), does})
	})
	return list
}
