package proc_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/seed-2e7ecdea/mp/proc"
)

var errNegative = errors.New("negative")

func init() { proc.RegisterError(errNegative) }

var root = proc.Register("root", func(_ context.Context, n int) (int, error) {
	if n < 0 {
		return 0, fmt.Errorf("root of %d: %w", n, errNegative)
	}
	r := 0
	for (r+1)*(r+1) <= n {
		r++
	}
	return r, nil
})

func Example() {
	// TestMain has called proc.Init.
	ctx := context.Background()
	for _, n := range []int{49, -1} {
		p, err := root.New(n, &proc.Options{Name: "worker"})
		if err != nil {
			log.Fatal(err)
		}
		if err := p.Start(ctx); err != nil {
			log.Fatal(err)
		}
		r, err := p.Result(ctx)
		code, _ := p.ExitCode()
		fmt.Println(r, err, errors.Is(err, errNegative), code)
	}
	// Output:
	// 7 <nil> false 0
	// 0 proc: worker: root of -1: negative true 1
}
