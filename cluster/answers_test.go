package cluster

import (
	"testing"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
)

// Answers that do not fit their calls come from a server or a program that is out of order: they are refused as a whole.
func TestAnswersFit(t *testing.T) {
	good := func() (a farAnswers) {
		a.append("worker-1", []byte("R1"))
		a.append("worker-1", []byte("R22"))
		a.append("worker-2", make([]byte, 300))
		return a
	}
	Want(t, "runs of three answers by two workers", len(good().Runs), 2)
	Want(t, "three answers fit three calls", good().fit(3), true)
	Want(t, "they are still there", good().fit(3), true)
	for what, change := range map[string]func(a *farAnswers){
		"fewer answers than calls":    func(a *farAnswers) { a.Runs = a.Runs[:1] },
		"a run of no answers":         func(a *farAnswers) { a.Runs = append(a.Runs, farRun{"worker-3", 0}) },
		"a run of a negative number":  func(a *farAnswers) { a.Runs = append(a.Runs, farRun{"worker-3", 4}, farRun{"", -4}) },
		"a run of too many":           func(a *farAnswers) { a.Runs[0].Calls = 1 << 40 },
		"no data":                     func(a *farAnswers) { a.Data = nil },
		"data that are cut off":       func(a *farAnswers) { a.Data = a.Data[:len(a.Data)-1] },
		"data after the last":         func(a *farAnswers) { a.Data = append(a.Data, 1, 'R') },
		"an empty answer":             func(a *farAnswers) { a.Data[0] = 0 },
		"a length that does not end":  func(a *farAnswers) { a.Data = []byte{0xff, 0xff} },
		"a length beyond the message": func(a *farAnswers) { a.Data[0] = 0x7f; a.Data = a.Data[:20] },
	} {
		a := good()
		change(&a)
		Want(t, what, a.fit(3), false)
	}
	Want(t, "three answers to four calls", good().fit(4), false)
	Want(t, "three answers to two calls", good().fit(2), false)
}
