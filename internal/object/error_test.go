package object_test

import (
	"errors"
	"os"
	"testing"

	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/shm"
)

func TestError(t *testing.T) {
	full := errors.New("full")
	for _, test := range []struct {
		err, is error
		want    string
	}{
		{&object.Error{Op: "ring: TryPut", Kind: shm.KindQueue, Name: "words", Err: full}, full, `ring: TryPut of queue "words": full`},
		{&object.Error{Op: "ring: TryPut", Kind: shm.KindQueue, Err: full}, full, `ring: TryPut of queue: full`},
		{&object.Error{Op: "psync: Acquire", Kind: shm.KindLock, Name: "l", Err: os.ErrClosed}, shm.ErrClosed,
			`psync: Acquire of lock "l": this process has closed it`},
		{object.Closed("psync: Acquire", shm.KindLock), shm.ErrClosed, `psync: Acquire of lock: this process has closed it`},
		{object.ClosedCall("value: Load of value"), shm.ErrClosed, `value: Load of value: this process has closed it`},
		{object.NewFailed(shm.KindQueue, "words", shm.ErrSize), shm.ErrSize, `shm: new queue "words": ` + shm.ErrSize.Error()},
	} {
		if got := test.err.Error(); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
		if !errors.Is(test.err, test.is) {
			t.Errorf("%q does not wrap %q", test.err, test.is)
		}
	}
}
