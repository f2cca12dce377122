package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	_ "github.com/seed-2e7ecdea/mp/ring" // reads the figures that lie in queues, pipes and broadcasts
	"github.com/seed-2e7ecdea/mp/shm"
)

// statFlags are the flags of mpbench stat.
type statFlags struct {
	json, watch bool
	interval    time.Duration
	times       int
}

func (o *statFlags) add(f *flag.FlagSet) {
	f.BoolVar(&o.json, "json", false, "print JSON; with -watch an array for each interval")
	f.BoolVar(&o.watch, "watch", false, "print again and again, with rates, until Ctrl-C")
	f.DurationVar(&o.interval, "interval", time.Second, "the time between two prints of -watch")
	f.IntVar(&o.times, "n", 0, "end -watch after so many prints, 0: never")
}

// runStat is mpbench stat: it prints what is in the named segment, or in all segments of /dev/shm
// that this user may open. It returns the exit status.
func runStat(ctx context.Context, args []string, stdout, stderr *os.File) int {
	var o statFlags
	flags := newFlags("stat", stderr, o.add)
	if code, done := parseFlags(flags, args, 0, 1); done {
		return code
	}
	if o.interval <= 0 || o.times < 0 {
		fmt.Fprintln(stderr, "mpbench stat: -interval must be more than 0, -n 0 or more")
		return exitUsage
	}
	w := &watcher{name: flags.Arg(0), seen: make(map[string]*figures)}
	for n := 1; ; n++ {
		segments, err := w.look()
		if err == nil && o.json {
			err = json.NewEncoder(stdout).Encode(segments)
		} else if err == nil {
			text := w.table(segments, time.Now())
			if o.watch && isTerminal(stdout) {
				text = clearScreen + text
			}
			_, err = io.WriteString(stdout, text)
		}
		if err != nil {
			fmt.Fprintln(stderr, "mpbench stat:", err)
			return exitFailed
		}
		if !o.watch || n == o.times {
			return 0
		}
		select {
		case <-ctx.Done():
			return 0
		case <-time.After(o.interval):
		}
	}
}

const clearScreen = "\x1b[H\x1b[2J"

// A watcher looks at segments repeatedly.
type watcher struct {
	name string // "": all segments
	seen map[string]*figures
}

// figures are those of an object when it was last looked at.
type figures struct {
	at      time.Time
	stats   shm.Stats
	highest uint64 // depth of all looks
}

// look inspects the segments. A segment that vanishes, or can't be read, is an error only if it was
// named.
func (w *watcher) look() ([]*shm.Inspection, error) {
	if w.name != "" {
		in, err := shm.Inspect(w.name)
		return []*shm.Inspection{in}, err
	}
	segments := []*shm.Inspection{}
	for info, err := range shm.List() {
		if err != nil {
			return nil, err
		}
		if in, err := shm.Inspect(info.Name); err == nil {
			segments = append(segments, in)
		}
	}
	return segments, nil
}

// table returns the segments as tables. From the second look at an object on, its numbers of
// messages and waits are those of a second.
func (w *watcher) table(segments []*shm.Inspection, now time.Time) string {
	var text strings.Builder
	if len(segments) == 0 {
		text.WriteString("no segment in /dev/shm\n")
	}
	for i, in := range segments {
		if i > 0 {
			text.WriteByte('\n')
		}
		w.segment(&text, in, now)
	}
	return text.String()
}

func (w *watcher) segment(text *strings.Builder, in *shm.Inspection, now time.Time) {
	alive := 0
	for _, p := range in.Parties {
		if p.Alive {
			alive++
		}
	}
	fmt.Fprintf(text, "%s: %s for %d objects, %d parties alive, %d left or died\n",
		printable(in.Name), bytesOf(uint64(in.Size)), len(in.Objects), alive, in.Deaths)
	if alive == 0 {
		text.WriteString("  abandoned: mpbench reap removes it\n")
	}
	for _, p := range in.Parties {
		state := "dead"
		if p.Alive {
			state = strings.TrimRight("alive  "+printable(p.Program), " ")
		}
		fmt.Fprintf(text, "  pid %-8d %s\n", p.PID, state)
	}
	if len(in.Objects) == 0 {
		return
	}
	line := func(cells ...any) {
		text.WriteString(strings.TrimRight(fmt.Sprintf("  %-11.11s %-14.14s %5s %13s %9s %8s %8s %8s %7s", cells...), " ") + "\n")
	}
	line("kind", "name", "users", "depth", "sent", "waits", "asleep", "spinning", "repairs")
	for i := range in.Objects {
		o := &in.Objects[i]
		sent, waits, asleep, spinning, depth := w.cells(in, o, now)
		line(o.Kind, printable(o.Name), fmt.Sprint(o.Holders), depth, sent, waits, asleep, spinning, nonzero(o.Stats.Repairs))
	}
}

// cells returns what changes of an object.
func (w *watcher) cells(in *shm.Inspection, o *shm.ObjectStats, now time.Time) (sent, waits, asleep, spinning, depth string) {
	s := o.Stats
	key := fmt.Sprint(in.ID, o.Entry, ":", o.Serial)
	was := w.seen[key]
	f := &figures{now, s, s.Depth}
	w.seen[key] = f
	switch {
	case s.Holder != 0:
		depth = fmt.Sprint("held by ", s.Holder)
	case s.Capacity != 0:
		depth = bytesOr(o, s.Depth) + "/" + bytesOr(o, s.Capacity)
	default:
		depth = nonzero(s.Depth)
	}
	moved, all := s.Sent, s.Waits+s.Spins
	if s.Bytes != 0 {
		moved = s.Bytes
	}
	if was == nil {
		sent, waits = nonzero(moved), nonzero(all)
		if s.Bytes != 0 {
			sent = bytesOf(moved)
		}
		return sent, waits, timeOf(s.Asleep), timeOf(s.Spinning), depth
	}
	f.highest = max(was.highest, s.Depth)
	if s.Capacity != 0 && s.Holder == 0 && o.Kind != shm.KindBroadcast {
		depth += "^" + bytesOr(o, f.highest)
	}
	d := now.Sub(was.at).Seconds()
	per := func(a, b uint64) float64 { return float64(a-min(a, b)) / d }
	if s.Bytes != 0 {
		sent = bytesOf(uint64(per(moved, was.stats.Bytes))) + "/s"
	} else if r := per(moved, was.stats.Sent); r > 0 {
		sent = count(r) + "/s"
	}
	if r := per(all, was.stats.Waits+was.stats.Spins); r > 0 {
		waits = count(r) + "/s"
	}
	share := func(a, b time.Duration) string {
		if a <= b {
			return ""
		}
		return fmt.Sprintf("%.0f %%", 100*(a-b).Seconds()/d)
	}
	return sent, waits, share(s.Asleep, was.stats.Asleep), share(s.Spinning, was.stats.Spinning), depth
}

func bytesOr(o *shm.ObjectStats, n uint64) string {
	if o.Kind == shm.KindPipe {
		return bytesOf(n)
	}
	return nonzeroOr(n, "0")
}

func nonzero(n uint64) string { return nonzeroOr(n, "") }

func nonzeroOr(n uint64, none string) string {
	switch {
	case n == 0:
		return none
	case n < 1e5:
		return fmt.Sprint(n)
	}
	return count(float64(n))
}

func timeOf(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return span(int64(d))
}

// bytesOf returns a number of bytes with a unit, in powers of 1024.
func bytesOf(n uint64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprint(n)
	}
	x, u := float64(n)/1024, 0
	for x >= 1024 {
		x, u = x/1024, u+1
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", x), ".0") + units[u:u+1]
}

// printable returns text that another process wrote, fit for a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}
