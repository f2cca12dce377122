package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"

	"github.com/seed-2e7ecdea/mp/bench"
)

// An output is where a report is written.
type output struct {
	to   io.Writer // nil: nowhere
	file *os.File  // to be closed, or nil
}

// openOutput creates the file at path. It is called before anything is measured, so that a
// wrong path costs no time. The path "" stands for no output, and "-" for stdout.
func openOutput(path string, stdout io.Writer) (output, error) {
	switch path {
	case "":
		return output{}, nil
	case "-":
		return output{to: stdout}, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return output{}, err
	}
	return output{to: f, file: f}, nil
}

// write writes a report in a format, and closes the file.
func (o output) write(r bench.Report, format func(io.Writer, bench.Report) error) error {
	if o.to == nil {
		return nil
	}
	err := format(o.to, r)
	if o.file != nil {
		err = errors.Join(err, o.file.Close())
	}
	return err
}

func writeJSON(to io.Writer, r bench.Report) error {
	e := json.NewEncoder(to)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
