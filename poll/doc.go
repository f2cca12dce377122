// Package poll waits for several shared objects at once: for a value of one of several queues, a
// message of one of several pipes, an event, a permit of a semaphore, a change of a value, or the
// end of a process.
//
// Select takes cases, blocks until one of them is ready, and returns its index:
//
//	var line string
//	for {
//		i, err := poll.Select(ctx, lines.GetCase(&line), stop, worker)
//		switch {
//		case err != nil:
//			return err
//		case i == 0:
//			use(line)
//		case i == 1:
//			return nil // stop, an Event, is set
//		case i == 2:
//			return worker.Join(ctx)
//		}
//	}
//
// There are two kinds of cases. A case that is made by a method whose name ends with Case carries
// an operation out, as a case of Go's select statement does: lines.GetCase(&line) takes a value
// from the queue. No other consumer can come between. An object that is passed itself only becomes
// ready: an Event when it is set, a Conn when there is a message or the end of the messages, a
// Process when it has ended. With a Conn that several goroutines or processes receive from, the
// message may be gone when Select returns, so call TryReceive and go back to Select if it fails.
package poll
