package proc

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// ProgressBar returns a function for MapOptions.Progress that draws a bar on one line of a
// terminal, with the time that is left. It draws at most ten times a second, and ends the line when
// done reaches total.
func ProgressBar(w io.Writer) func(done, total int) {
	const width = 40
	begin := time.Now()
	var last time.Time
	return func(done, total int) {
		now := time.Now()
		if total <= 0 || done < total && now.Sub(last) < 100*time.Millisecond {
			return
		}
		last = now
		full := min(width*done/total, width)
		spent := now.Sub(begin)
		left := spent * time.Duration(total-done) / time.Duration(max(done, 1))
		fmt.Fprintf(w, "\r[%s%s] %d of %d, %v left ", strings.Repeat("=", full), strings.Repeat(" ", width-full), done, total, left.Round(time.Second))
		if done >= total {
			fmt.Fprintf(w, "\r[%s] %d of %d, %v      \n", strings.Repeat("=", width), done, total, spent.Round(time.Millisecond))
		}
	}
}
