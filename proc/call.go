package proc

import "context"

// A Call is a process that will give a result.
type Call[Out any] struct {
	*Process
	coding *coding[Out]
}

// Result waits as Join does, and returns what the task returned. The error is
// that of Join, or ErrNoResult if the process ended well without one. Any number
// of goroutines may call it, any number of times; each gets a copy of its own.
//
// If the result holds objects of shared memory, the first call of Result hands over the use of them
// that this process has had since the task returned: Close them when they are no longer needed.
// Later calls open them again, which fails if they are gone. If Result is never called,
// Process.Close ends the use.
func (c *Call[Out]) Result(ctx context.Context) (Out, error) {
	var none Out
	if err := c.Join(ctx); err != nil {
		return none, err
	}
	if !c.outcome.returned {
		return none, failed("Result", c.name, ErrNoResult)
	}
	if out, ok := c.claim().(Out); ok {
		return out, nil
	}
	var out Out
	if err := c.coding.decode(c.outcome.result, &out); err != nil {
		return none, failed("Result", c.name, err)
	}
	return out, nil
}
