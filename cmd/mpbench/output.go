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

// openOutput opens the file at path, and creates it if there is none. It is called before anything is
// measured, so that a wrong path costs no time. What an old file contains stays until write. The
// path "" stands for no output, and "-" for stdout.
func openOutput(path string, stdout io.Writer) (output, error) {
	switch path {
	case "":
		return output{}, nil
	case "-":
		return output{to: stdout}, nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		return output{}, err
	}
	return output{to: f, file: f}, nil
}

// write writes a report in a format, and closes the file. If it fails, the file is left empty: a part of a report might be
// taken for the whole.
func (o output) write(r bench.Report, format func(io.Writer, bench.Report) error) error {
	if o.to == nil {
		return nil
	}
	if o.file == nil {
		return format(o.to, r)
	}
	err := errors.Join(empty(o.file), format(o.to, r))
	if err != nil {
		err = errors.Join(err, empty(o.file))
	}
	return errors.Join(err, o.file.Close())
}

// empty empties a regular file.
func empty(f *os.File) error {
	info, err := f.Stat()
	if err == nil && info.Mode().IsRegular() {
		err = f.Truncate(0)
	}
	return err
}

func writeJSON(to io.Writer, r bench.Report) error {
	e := json.NewEncoder(to)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
