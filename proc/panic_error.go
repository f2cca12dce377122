package proc

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"io"
	"os"
	"strings"
)

// fatalError is the value of a PanicError that is a fatal error.
const fatalError = "fatal error"

// maxCrash bounds how much of a child's crash text is kept.
const maxCrash = 1 << 20

// A PanicError is a panic that ended a child, in any goroutine, or a fatal error
// of its Go runtime, such as concurrent map writes. The runtime says what the
// error was on standard error only.
type PanicError struct {
	Process string // name of the process
	Value   string // what was given to panic, as text; "fatal error" for that
	Stack   string // the stacks that the child printed
}

// Error returns a line of text without the stack.
func (e *PanicError) Error() string { return "proc: " + e.Process + ": panic: " + e.Value }

// wirePanic is a panic on its way from the child.
type wirePanic struct{ Value, Stack string }

func encodePanic(value any, stack []byte) ([]byte, error) {
	var buf bytes.Buffer
	err := gob.NewEncoder(&buf).Encode(wirePanic{fmt.Sprint(value), string(stack)})
	return buf.Bytes(), err
}

func decodePanic(process string, data []byte) error {
	var w wirePanic
	if err := gob.NewDecoder(bytes.NewReader(data)).Decode(&w); err != nil {
		return fmt.Errorf("proc: %s: panic: %w", process, err)
	}
	return &PanicError{Process: process, Value: w.Value, Stack: w.Stack}
}

// crashError returns a PanicError if the Go runtime of the child has left the
// text of a crash in f, else nil.
func crashError(process string, f *os.File) error {
	text, err := io.ReadAll(io.NewSectionReader(f, 0, maxCrash))
	if err != nil || len(text) == 0 {
		return nil
	}
	value, stack := splitCrash(string(text))
	return &PanicError{Process: process, Value: value, Stack: stack}
}

// splitCrash divides the text that the Go runtime prints when it crashes into
// what went wrong and the stacks.
func splitCrash(text string) (value, stack string) {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "goroutine ") || strings.HasPrefix(text, "runtime stack:") {
		return fatalError, text
	}
	end := len(text)
	for _, mark := range []string{"\n\ngoroutine ", "\n\nruntime stack:"} {
		if i := strings.Index(text[:end], mark); i >= 0 {
			end = i
		}
	}
	value = strings.TrimSpace(strings.TrimPrefix(text[:end], "panic: "))
	return value, strings.TrimSpace(text[end:])
}
