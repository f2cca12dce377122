package bench

import (
	"errors"

	"github.com/seed-2e7ecdea/mp/proc"
)

// Errors of this package. They come wrapped: use errors.Is.
var (
	// ErrScenario means that there is no such scenario. The error's text says
	// what there is.
	ErrScenario = errors.New("no such scenario")
	// ErrVerify means that a message was lost, damaged, or came twice or out of
	// order.
	ErrVerify = errors.New("message is wrong")
)

func init() { proc.RegisterError(ErrScenario, ErrVerify) }
