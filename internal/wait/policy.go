package wait

// A Policy selects how a blocked operation waits.
type Policy uint32

const (
	// Adaptive spins for about as long as it has lately paid to spin, at most some 50 µs. Otherwise it
	// yields the CPU, in a crowded room, while that has lately paid. Then it sleeps in the kernel. It is
	// the default.
	Adaptive Policy = iota
	// Spin never sleeps. It has the shortest latency and uses a whole CPU.
	Spin
	// Block sleeps at once.
	Block
)

// String returns the policy's name in lower case.
func (p Policy) String() string {
	switch p {
	case Adaptive:
		return "adaptive"
	case Spin:
		return "spin"
	case Block:
		return "block"
	}
	return "unknown"
}

// MarshalText implements encoding.TextMarshaler.
func (p Policy) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Policy) UnmarshalText(text []byte) error {
	for q := Adaptive; q <= Block; q++ {
		if q.String() == string(text) {
			*p = q
			return nil
		}
	}
	return &unknownPolicyError{string(text)}
}

type unknownPolicyError struct{ text string }

func (e *unknownPolicyError) Error() string {
	return "unknown wait policy " + e.text + ": there are adaptive, spin and block"
}
