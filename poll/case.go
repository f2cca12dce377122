package poll

import "github.com/seed-2e7ecdea/mp/internal/wait"

// A Case is an event that Select can wait for. Methods of objects make cases, such as
// ring.Queue.GetCase.
//
// A Case may be used for any number of calls of Select, one after the other, but not by two of them
// at once. The zero Case is never ready, as a nil channel in Go's select statement: a loop can put
// it in the place of a case that is to be left out.
type Case struct{ c *wait.Case }

// Waitable is implemented by what Select can wait for: by Case, and by the objects that can be
// passed to Select themselves.
type Waitable interface {
	// Case returns the case that is ready when the object is.
	Case() Case
}

// Case returns c, so that a Case is Waitable.
func (c Case) Case() Case { return c }

func init() { wait.Public = func(c *wait.Case) any { return Case{c} } }
