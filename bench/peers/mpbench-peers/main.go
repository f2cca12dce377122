// Mpbench-peers runs the transports of other libraries for mpbench: it measures the scenario whose JSON is its argument, and
// prints the result as JSON. Install it where mpbench finds it in PATH.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/seed-2e7ecdea/mp/bench"
	"github.com/seed-2e7ecdea/mp/proc"
)

func main() {
	bench.RegisterPeer(bench.Peer{Name: "zmq", Open: openZMQ})
	bench.RegisterPeer(bench.Peer{Name: "grpc", Open: openGRPC})
	bench.RegisterPeer(bench.Peer{Name: "net-rpc", Open: openRPC})
	proc.Init()
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: mpbench-peers SCENARIO, as mpbench calls it")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	out, err := bench.RunScenario(ctx, os.Args[1])
	if err == nil {
		_, err = os.Stdout.Write(out)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
