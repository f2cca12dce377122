// Package ring moves messages between processes through rings in shared memory. A pipe carries
// messages of bytes between its two ends, each a Conn. A Queue carries values of one type between
// any number of processes.
//
// Once Send or Put has returned nil, the message is delivered whatever happens to its sender. If
// the sender is killed during the call, the message is delivered whole or not at all. See Conn and
// Queue for the exact guarantees.
package ring
