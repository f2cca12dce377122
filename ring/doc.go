// Package ring moves messages between processes through rings in shared
// memory: Pipe for bytes between two ends, Queue for values of one type between
// any number of processes.
//
// A message whose Send or Put returned nil is delivered whatever happens to
// its sender afterwards; one whose sender was killed on the way is delivered
// whole or not at all. See Conn and Queue for what exactly is promised.
package ring
