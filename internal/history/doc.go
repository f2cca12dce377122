// Package history is a test: what several processes do with one object is
// recorded while some of them are killed, and the history must be linearizable,
// which porcupine decides: there is an order of the operations, each at a moment
// between its call and its return, in which a sequential model gives the same
// results.
//
// The time of calls and returns is a counter in shared memory, that is, a total
// order. Moving it is a locked instruction, and so a fence before and after
// each operation: what a store buffer might show to those who compare clocks
// without one is not seen here.
//
//	go test ./internal/history -v                     some seconds
//	go test ./internal/history -v -history.for 60s    a minute for each kind of object
//
// A binary with -tags crashpoints kills workers at the steps of the protocols
// too.
package history
