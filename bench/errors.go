package bench

import (
	"errors"
	"fmt"

	"github.com/seed-2e7ecdea/mp/proc"
)

// Errors of this package. They come wrapped: use errors.Is.
var (
	// ErrScenario means that a field of the Scenario has a value that cannot be measured. The error is
	// a *ScenarioError.
	ErrScenario = errors.New("no such scenario")
	// ErrVerify means that a message was lost or damaged, or arrived twice or out of
	// order.
	ErrVerify = errors.New("message is wrong")
)

func init() { proc.RegisterError(ErrScenario, ErrVerify) }

// A ScenarioError says which field of a Scenario is wrong. It wraps ErrScenario.
type ScenarioError struct {
	Field string // name of the field
	Value string // what it is
	Want  string // what is allowed
}

// Error returns the message "bench: no such scenario: Size is 65: want one of 8, 64, ...".
func (e *ScenarioError) Error() string {
	return fmt.Sprintf("bench: %v: %s is %s: want %s", ErrScenario, e.Field, e.Value, e.Want)
}

// Unwrap returns ErrScenario.
func (e *ScenarioError) Unwrap() error { return ErrScenario }
