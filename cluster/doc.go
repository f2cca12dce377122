// Package cluster has queues whose processes are on several machines, and pools whose workers are.
// Values and calls travel over NATS JetStream, which keeps them until they are dealt with.
//
// [Open] starts a server inside the program, or connects to one by its URL. A [Queue] is as
// ring.Queue: a value that was put is got at least once, whatever process, machine or server fails.
//
// The package is a module of its own, so that NATS is no requirement of mp.
package cluster
