// Package history tests that objects are linearizable, also while processes are killed.
//
// Several processes use one object and record each operation, and the test kills some of them, and
// stops some for a moment. Then
// porcupine checks the recorded history: it must be possible to order the operations, each at a moment
// between its call and its return, so that a sequential model gives the same results.
//
// The time of calls and returns is a counter in shared memory, so all of them are in one total
// order. Each increment is an atomic instruction, and so a full fence before and after
// each operation. These histories therefore cannot show effects of a store buffer that a full fence hides.
//
//	go test ./internal/history -v                     some seconds
//	go test ./internal/history -v -history.for 60s    a minute for each kind of object
//
// If the test is built with -tags crashpoints, processes also die at chosen steps of the protocols: see package crash.
package history
