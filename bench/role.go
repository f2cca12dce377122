package bench

// A role is what a process does in a run.
type role int

const (
	producer  role = iota // sends
	consumer              // receives what producers send
	caller                // sends a message and waits for it to come back
	responder             // sends back what it receives
)

func (r role) String() string { return [...]string{"producer", "consumer", "caller", "responder"}[r] }

// first reports whether r is on the side that sends the first message.
func (r role) first() bool { return r == producer || r == caller }
