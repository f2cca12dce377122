// Libraries that are measured beside mp's transports, in a module of their own, so that they are no requirements of mp.
module github.com/seed-2e7ecdea/mp/bench/peers

go 1.26.0

require (
	github.com/go-zeromq/zmq4 v0.17.0
	github.com/seed-2e7ecdea/mp v0.0.0
	google.golang.org/grpc v1.85.0
	google.golang.org/protobuf v1.36.12
)

require (
	github.com/HdrHistogram/hdrhistogram-go v1.4.0 // indirect
	github.com/edsrzf/mmap-go v1.2.0 // indirect
	github.com/go-zeromq/goczmq/v4 v4.2.2 // indirect
	golang.org/x/net v0.60.0 // indirect
	golang.org/x/sync v0.23.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.42.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260817212433-ac3dfec99bb1 // indirect
)

replace github.com/seed-2e7ecdea/mp => ../..
