package object_test

import (
	"errors"
	"os"
	"testing"

	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/shm"
)

func TestError(t *testing.T) {
	for _, test := range []struct {
		err  object.Error
		want string
	}{
		{object.Error{Op: "ring: TryPut", Kind: shm.KindQueue, Name: "words", Err: errors.New("full")}, `ring: TryPut of queue "words": full`},
		{object.Error{Op: "ring: TryPut", Kind: shm.KindQueue, Err: errors.New("full")}, `ring: TryPut of queue: full`},
		{object.Error{Op: "psync: Acquire", Kind: shm.KindLock, Name: "l", Err: os.ErrClosed}, `psync: Acquire of lock "l": this process has closed it`},
	} {
		if got := test.err.Error(); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
}
