//go:build !linux

package proc_test

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/seed-2e7ecdea/mp/proc"
)

func TestMain(m *testing.M) {
	proc.Init()
	os.Exit(m.Run())
}

var nothing = proc.Register("nothing", func(context.Context, struct{}) (struct{}, error) {
	return struct{}{}, nil
})

func TestUnsupported(t *testing.T) {
	p, err := nothing.New(struct{}{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(t.Context()); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Start: %v, want ErrUnsupported", err)
	}
}
