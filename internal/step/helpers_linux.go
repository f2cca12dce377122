package step

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Sets returns a Set that sets the scene's Job to what f returns.
func Sets[J any](f func(s *Scene[J]) J) func(*Scene[J]) {
	return func(s *Scene[J]) { s.Job = f(s) }
}

// Does returns a Do that calls f and returns no value.
func Does[J any](f func(ctx context.Context, j J) error) func(context.Context, J) (uint64, error) {
	return func(ctx context.Context, j J) (uint64, error) { return 0, f(ctx, j) }
}

// Nothing is the Other of a row whose Ready has begun the other operation already.
func Nothing[J any](*Scene[J]) (uint64, error) { return 0, nil }

// Vainly calls wait, which has to sleep, with a context that ends soon, so that the next wait is
// not the first of the process.
func Vainly(ctx context.Context, wait func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	if err := wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("a wait that must be in vain: %w", err)
	}
	return nil
}
