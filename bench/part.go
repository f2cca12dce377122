package bench

// A part is what a process does in a run.
type part int

const (
	producer  part = iota // sends
	consumer              // receives what producers send
	caller                // sends a message and waits for it to come back
	responder             // sends back what it receives
)

func (p part) String() string { return [...]string{"producer", "consumer", "caller", "responder"}[p] }

// first tells whether p is on the side where messages begin.
func (p part) first() bool { return p == producer || p == caller }
