// Steppage makes the tables of docs/design/instructions.md from what the tests named
// TestEveryInstruction have appended to files by -step.page:
//
//	steppage PAGE NEW [EARLIER]
//
// NEW is a file of the present code. EARLIER, if it is given, is one of earlier versions of the code, of
// which only the rows that were tried whole are used. Rows that the files do not have keep what the page
// says of them.
package main

import (
	"fmt"
	"os"
	"strings"
)

func main() {
	if len(os.Args) < 3 || len(os.Args) > 4 {
		fmt.Fprintln(os.Stderr, "usage: steppage PAGE NEW [EARLIER]")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "steppage:", err)
		os.Exit(1)
	}
}

func run(page string, files []string) error {
	old, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	rows, err := readPage(string(old))
	if err != nil {
		return err
	}
	tried := make([]map[key]*tries, 2)
	for i := range tried {
		tried[i] = make(map[key]*tries)
		if i < len(files) {
			if err := readTries(files[i], tried[i]); err != nil {
				return err
			}
		}
	}
	rows.merge(tried[0], tried[1])
	text := string(old)
	for name, table := range map[string]string{"summary": rows.summary(), "rows": rows.tables()} {
		before, rest, ok := strings.Cut(text, begin(name))
		_, after, ok2 := strings.Cut(rest, end(name))
		if !ok || !ok2 {
			return fmt.Errorf("%s lacks the lines %q and %q", page, begin(name), end(name))
		}
		text = before + begin(name) + "\n" + table + end(name) + after
	}
	return os.WriteFile(page, []byte(text), 0o666)
}

// The tables of the page are between these lines.
func begin(name string) string { return "<!-- steppage " + name + ": begin -->\n" }
func end(name string) string   { return "<!-- steppage " + name + ": end -->\n" }
