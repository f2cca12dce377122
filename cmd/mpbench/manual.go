package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

// runManual is mpbench man: it prints the manual page, made of the same texts as help.
func runManual(ctx context.Context, args []string, stdout, stderr *os.File) int {
	if code, done := parseFlags(newFlags("man", stderr), args, 0, 0); done {
		return code
	}
	text, err := manual(ctx)
	if err == nil {
		_, err = io.WriteString(stdout, text)
	}
	if err != nil {
		fmt.Fprintln(stderr, "mpbench man:", err)
		return exitFailed
	}
	return 0
}

// manual returns the manual page in the language of man.
func manual(ctx context.Context) (string, error) {
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
		flags, err := flagsOf(ctx, &c)
		if err != nil {
			return "", err
		}
		for _, f := range flags {
			fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roff(f.name), roff(f.does))
		}
	}
	b.WriteString(`.SH EXIT STATUS
0 if all went well; 1 if a run failed, if a file could not be written, or if compare found something
slower; 2 if a flag has a value that is not allowed; 130 if mpbench was interrupted.
`)
	return b.String(), nil
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

var flagLine = regexp.MustCompile(`(?m)^  (-\S.*)\n((?:    .*\n)*)`)

// flagsOf returns the flags that a command prints in its help.
func flagsOf(ctx context.Context, c *command) (list []flagText, err error) {
	if c.name == "help" {
		return nil, nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	read := make(chan []byte, 1)
	go func() {
		text, _ := io.ReadAll(r) // what was written until the other end is closed
		read <- text
	}()
	code := c.run(ctx, []string{"-help"}, w, w)
	w.Close()
	text := <-read
	if code != 0 {
		return nil, fmt.Errorf("the help of %s ends with status %d", c.name, code)
	}
	for _, m := range flagLine.FindAllSubmatch(text, -1) {
		name, does, _ := strings.Cut(string(m[1]), "\t") // a flag of one letter has its text in the same line
		list = append(list, flagText{name, strings.Join(strings.Fields(does+" "+string(m[2])), " ")})
	}
	return list, nil
}
