package main

import (
	"bytes"
	"context"
	"os"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp"
)

func TestMain(m *testing.M) {
	if os.Getenv("SQUARES") != "" {
		main()
		return
	}
	mp.Init()
	os.Exit(m.Run())
}

// TestSquares runs the program.
func TestSquares(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out bytes.Buffer
	c := mp.Command(os.Args[0])
	c.Env = []string{"SQUARES=yes"}
	c.Stdout, c.Stderr = &out, os.Stderr
	if err := c.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "0\n1\n4\n9\n16\n"; got != want {
		t.Errorf("output %q, want %q", got, want)
	}
}
