package proc_test

import (
	"bytes"
	"strings"
	"testing"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
)

// The bar is drawn over itself, and its line ends with the last call.
func TestProgressBar(t *testing.T) {
	var out bytes.Buffer
	bar := proc.ProgressBar(&out)
	bar(0, 0) // a total that is not known draws nothing
	Want(t, "without a total", out.String(), "")
	bar(10, 40)
	first := out.String()
	Want(t, "a quarter of the bar", strings.Contains(first, "\r["+strings.Repeat("=", 10)+strings.Repeat(" ", 30)+"] 10 of 40, "), true)
	Want(t, "the line goes on", strings.Contains(first, "\n"), false)
	bar(11, 40) // comes too soon after the first
	Want(t, "at most ten times a second", out.String(), first)
	bar(40, 40)
	Want(t, "the whole bar", strings.Contains(out.String(), "\r["+strings.Repeat("=", 40)+"] 40 of 40, "), true)
	Want(t, "the line ends", strings.HasSuffix(out.String(), "\n"), true)
	bar(41, 40) // more than there should be
	Want(t, "the whole bar again", strings.Count(out.String(), strings.Repeat("=", 40)), 4)
}
