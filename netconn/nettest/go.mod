// The conformance test of golang.org/x/net for a net.Conn, in a module of its own, so that x/net is
// no requirement of mp.
module github.com/seed-2e7ecdea/mp/netconn/nettest

go 1.26.0

require (
	github.com/seed-2e7ecdea/mp v0.0.0
	golang.org/x/net v0.49.0
)

require (
	github.com/edsrzf/mmap-go v1.2.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace github.com/seed-2e7ecdea/mp => ../..
