// Package manager shares dicts, lists, sets, namespaces and objects of registered types between
// processes. They live in a process of their own, the manager's, and other processes use them by
// proxies.
//
//	m, err := manager.New(ctx, nil)
//	d, err := manager.NewDict[string, int](ctx, m)
//	err = d.Set(ctx, "a", 1)
//	p, err := task.Start(ctx, d, nil) // the child uses the same dict
//
// Each call of a method is a trip to the manager's process and back, which costs some microseconds.
// Queues, locks, conditions, events, barriers, semaphores, values and arrays need no manager: make
// them in the manager's segment (Manager.Segment) or in the program's own. They cost no trip.
//
// A program that is no child of this one uses the manager by an address and a key. One program
// publishes objects and serves them:
//
//	err = m.Publish(ctx, "scores", d)
//	l, err := connection.Listen("unix", "@scores", &connection.Options{Key: key})
//	err = m.Serve(ctx, l) // until ctx is done
//
// The other one connects and opens them:
//
//	conn, err := connection.Dial(ctx, "unix", "@scores", &connection.Options{Key: key})
//	m, err := manager.Connect(ctx, conn)
//	var d manager.Dict[string, int]
//	err = m.Open(ctx, "scores", &d)
//
// # What is guaranteed
//
//   - Each call is atomic in respect of its object: a call that reads sees the object at one
//     moment. Calls of a DictFunc, a ListFunc or a Method are atomic, too.
//   - A call that returned nil happens before each call on the same object that sees what it did.
//   - An object lives until its last user is gone. Users are the proxies of all processes and the
//     values that are stored in objects of the manager and hold a proxy. Objects that refer to each
//     other in a circle live until the manager ends.
//   - A process that closes its proxies, drops them or is killed ends its use. A proxy on its way
//     keeps its object for a bounded time: Options.Passage.
//   - If the manager's process dies, calls that wait and later calls fail with ErrServerDied. The
//     objects are lost. The manager's process dies with the process that made it.
//   - A process that is stopped, or does not receive, does not hold others up. If it does not take
//     an answer for 30 s, the server ends its session.
//
// # Errors
//
// Methods return the errors of this package wrapped in one that names the method: use errors.Is.
package manager
