package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/seed-2e7ecdea/mp/bench"
)

// writePictures writes each picture of a report as a file in dir. If the CPUs moved, the
// pictures are of the kind of rounds that there are more of, and say so.
func writePictures(dir string, r bench.Report) error {
	t := trialsOf(r)
	if len(t.cells()) == 0 {
		return nil
	}
	list := sectionsOf(t)
	s := list[0]
	for _, other := range list[1:] {
		if len(other.trials.rounds()) > len(s.trials.rounds()) {
			s = other
		}
	}
	below := r.Machine.String()
	if r.Place != "" {
		below += "; " + r.Place
	}
	if head := s.head(); head != "" {
		below += fmt.Sprintf("; %s of %d", head, len(t.rounds()))
	} else if n := len(s.trials.rounds()); n < len(t.rounds()) {
		below += fmt.Sprintf("; %s of %d", plural(n, "round"), len(t.rounds()))
	}
	for _, p := range pictures(s.trials.cells()) {
		if err := os.WriteFile(filepath.Join(dir, p.file), []byte(p.document(below, today())), 0o666); err != nil {
			return err
		}
	}
	return nil
}
