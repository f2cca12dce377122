package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed-2e7ecdea/mp/bench"
)

// The lines around the block that -markdown writes.
const (
	markdownBegin = "<!-- mpbench -markdown: begin -->\n"
	markdownEnd   = "<!-- mpbench -markdown: end -->\n"
)

// A markdownFile is a document with a block that mpbench writes.
type markdownFile struct {
	path          string // "" if there is none, "-" for standard output
	stdout        io.Writer
	before, after string // what else the document has
	mode          fs.FileMode
}

// openMarkdown reads the document at path. If there is none, it will consist of the block. A document that is not empty
// must have both lines around the block, so that nothing else is overwritten.
func openMarkdown(path string, stdout io.Writer) (markdownFile, error) {
	m := markdownFile{path: path, stdout: stdout, mode: 0o644}
	if path == "" || path == "-" {
		return m, nil
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, writable(filepath.Dir(path))
	}
	if err != nil {
		return m, err
	}
	m.mode = info.Mode().Perm()
	data, err := os.ReadFile(path)
	if err != nil || len(data) == 0 {
		return m, err
	}
	var begun, ended bool
	var rest string
	m.before, rest, begun = strings.Cut(string(data), markdownBegin)
	if _, m.after, ended = strings.Cut(rest, markdownEnd); !begun || !ended {
		return m, fmt.Errorf("%s has not the lines %q and %q, between which the table is written",
			path, strings.TrimSpace(markdownBegin), strings.TrimSpace(markdownEnd))
	}
	return m, nil
}

// writable returns an error if no file can be made in a directory.
func writable(dir string) error {
	f, err := os.CreateTemp(dir, ".mpbench*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// write writes the document with a block for a report. If it fails, the document stays what it was.
func (m *markdownFile) write(r bench.Report) error {
	switch block := markdownBegin + markdown(r) + markdownEnd; m.path {
	case "":
		return nil
	case "-":
		_, err := io.WriteString(m.stdout, block)
		return err
	default:
		return replaceFile(m.path, m.before+block+m.after, m.mode)
	}
}

// replaceFile gives the file at path other contents, as a whole or not at all.
func replaceFile(path, text string, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".mpbench*")
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Chmod(mode), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return err
}

// markdown returns a report as tables, with the machine and the command line.
func markdown(r bench.Report) string {
	var b strings.Builder
	where := r.Machine.String()
	if r.Place != "" {
		where += "; " + r.Place
	}
	fmt.Fprintf(&b, "%s\n\n    %s\n\n", wrap(where+"; "+today()+":", widest, ""), commandLine(os.Args))
	for _, sec := range sectionsOf(trialsOf(r)) {
		cells := sec.trials.cells()
		if len(cells) == 0 {
			continue
		}
		if head := sec.head(); head != "" {
			fmt.Fprintf(&b, "%s:\n\n", head)
		}
		for _, g := range []*grid{messagesGrid(cells), othersGrid(cells)} {
			if g != nil {
				b.WriteString(g.markdown() + "\n")
			}
		}
		for _, line := range meanings(&sec) {
			text := strings.TrimLeft(line, " ")
			indent := line[:len(line)-len(text)]
			b.WriteString(wrap(indent+"- "+text, widest, indent+"  ") + "\n")
		}
		b.WriteByte('\n')
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// markdown returns the grid without its bars as a table of Markdown.
func (g *grid) markdown() string {
	var b strings.Builder
	line := func(cell func(i int, c column) string) {
		for i, c := range g.columns {
			if !c.bar {
				b.WriteString("| " + cell(i, c) + " ")
			}
		}
		b.WriteString("|\n")
	}
	line(func(_ int, c column) string { return c.head })
	line(func(_ int, c column) string {
		if c.left {
			return ":-"
		}
		return "-:"
	})
	for _, r := range g.rows {
		line(func(i int, _ column) string {
			switch {
			case r.cells != nil:
				return strings.TrimSpace(r.cells[i].text)
			case i == 0:
				return "**" + r.title + "**"
			}
			return ""
		})
	}
	return b.String()
}
