// Package ring moves messages between processes through rings in shared memory. A pipe carries
// messages of bytes between its two ends, each a Conn. A Queue carries values of one type between
// any number of processes: each value goes to one of them. A Broadcast delivers each value to all
// its subscribers.
//
// Once Send, Put or Publish has returned nil, the message is delivered whatever happens to its
// sender. If the sender is killed during the call, the message is delivered whole or not at all.
// See Conn, Queue and Broadcast for the exact guarantees.
//
// A broadcast of prices, with one subscriber that misses none and one that wants the newest only:
//
//	prices, err := ring.NewBroadcast[Price](seg, "prices", 1024, nil)
//	...
//	ledger, err := prices.Subscribe(nil) // holds publishers back if it is 1,024 values behind
//	ticker, err := prices.Subscribe(&ring.SubscribeOptions{Lossy: true})
//	...
//	err = prices.Publish(ctx, Price{...})
//	...
//	for p, err := range ledger.All(ctx) { ... } // until prices.Shutdown
//	p, err := ticker.Receive(ctx)               // errors.Is(err, ring.ErrLost): it was overtaken
package ring
