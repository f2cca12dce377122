package codec

import (
	"fmt"

	"github.com/seed-2e7ecdea/mp/internal/known"
)

// A failure is an error that came from another process. Its type is all that differs from an error
// of package errors that wraps the same known errors.
type failure struct {
	message string
	known   []error
}

func (f *failure) Error() string { return f.message }

// Unwrap returns the known errors that the original wrapped.
func (f *failure) Unwrap() []error { return f.known }

// error appends an error as its text.
func (e *encoder) error(err error) error {
	e.byte(tagError)
	e.string(err.Error())
	texts := known.Texts(err)
	e.length(len(texts) + 1)
	for _, t := range texts {
		e.string(t)
	}
	return nil
}

func (d *decoder) error() (any, error) {
	message, err := d.string()
	if err != nil {
		return nil, err
	}
	var texts []string
	if err := d.strings(&texts); err != nil {
		return nil, fmt.Errorf("an error's sentinels: %w", err)
	}
	return &failure{message, known.Errors(texts)}, nil
}
