package step

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"
)

// A line is what a run has tried of one row. As JSON, one a line, it is what -step.page appends to
// its file.
type line struct {
	Table, Row, Promise             string
	Slept                           bool
	Instructions, Points, Functions int
	Kills, Stops, StopsAndKills     int
	Missed                          int    // of these, how many rounds did not come to their point
	Share                           string // "k/n" if all points of this share were tried; "" if only some were
	Took                            time.Duration
}

// add adds what can be summed up of another row.
func (l *line) add(m line) {
	l.Instructions += m.Instructions
	l.Points += m.Points
	l.Kills += m.Kills
	l.Stops += m.Stops
	l.StopsAndKills += m.StopsAndKills
	l.Missed += m.Missed
	l.Took += m.Took
}

// reported returns l as a line of the report.
func (l *line) reported() string {
	return fmt.Sprintf("| %s | %d | %d | %d | %d | %d | %d | %d | %.1f |\n", l.name(),
		l.Instructions, l.Points, l.Functions, l.Kills, l.Stops, l.StopsAndKills, l.Missed, l.Took.Seconds())
}

// name returns the name of the row for its readers.
func (l *line) name() string {
	if l.Slept {
		return l.Row + " (sleeps)"
	}
	return l.Row
}

// appendTo appends l to a file. Several processes may do so at once.
func (l *line) appendTo(file string) error {
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o666)
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	return errors.Join(err, f.Close())
}
