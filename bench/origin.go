package bench

// An Origin says whose a transport is.
type Origin string

// The origins.
const (
	OriginMP     Origin = "mp"
	OriginKernel Origin = "kernel"
	OriginGo     Origin = "Go, in one process"
	OriginPython Origin = "Python"
	OriginPeer   Origin = "other libraries"
)

// Origins returns all origins.
func Origins() []Origin {
	return []Origin{OriginMP, OriginKernel, OriginGo, OriginPython, OriginPeer}
}

// OriginOf returns whose a transport is. A name that is not one of Transports is taken for that of another library.
func OriginOf(transport string) Origin {
	switch t := findTransport(transport); {
	case t == nil || t.peer:
		return OriginPeer
	case t.python:
		return OriginPython
	case t.kernel:
		return OriginKernel
	case t.one:
		return OriginGo
	}
	return OriginMP
}
