package futex_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/futex"
	"github.com/seed-2e7ecdea/mp/internal/view"
)

// TestErrorTable provokes each error of the package.
func TestErrorTable(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	expired, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	word := new(atomic.Uint32)
	page, err := syscall.Mmap(-1, 0, os.Getpagesize(), syscall.PROT_NONE, syscall.MAP_ANON|syscall.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Munmap(page)
	inaccessible := view.At[atomic.Uint32](page, 0)
	for _, test := range []struct {
		op  string
		is  error
		err func() error
	}{
		{"futex: Wait", context.Canceled, func() error { return futex.Wait(cancelled, word, 0) }},
		{"futex: Wait", context.DeadlineExceeded, func() error { return futex.Wait(expired, word, 0) }},
		{"futex: WaitAny", context.Canceled, func() error {
			_, err := futex.WaitAny(cancelled, futex.Word{Addr: word})
			return err
		}},
		{"", context.Canceled, func() error { // WaitAnyFor does not wrap
			_, err := futex.WaitAnyFor(cancelled, time.Hour, futex.Word{Addr: word})
			return err
		}},
		{"futex: Wake", syscall.EFAULT, func() error {
			_, err := futex.Wake(inaccessible, 1)
			return err
		}},
	} {
		err := test.err()
		t.Logf("%-16s| %v", test.op, err)
		if err == nil || !strings.HasPrefix(err.Error(), test.op) || !errors.Is(err, test.is) {
			t.Errorf("error %v, want one of %q that wraps %v", err, test.op, test.is)
		}
	}
}
