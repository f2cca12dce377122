package connection_test

import (
	"context"
	"encoding/json"
	"flag"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/proc/connection"
)

var speed = flag.Bool("speed", false, "compare round trips with those of Python's multiprocessing.connection")

const (
	speedRounds  = 300 // many short ones, so that what else the machine does meets all kinds of connections alike
	speedTrips   = 100 // in a round
	speedMessage = 64  // bytes
)

// python measures round trips of messages of bytes between two processes, in nanoseconds: once for each line that it reads.
const python = `
import json, multiprocessing, sys, time
from multiprocessing.connection import Client, Listener

trips, size = int(sys.argv[1]), int(sys.argv[2])

def echo(address):
    with Client(address, authkey=b"key") as c:
        try:
            while True:
                c.send_bytes(c.recv_bytes())
        except EOFError:
            pass

ends = {}
for name, family in ("Python, unix", "AF_UNIX"), ("Python, tcp", "AF_INET"):
    with Listener(None, family, authkey=b"key") as l:
        multiprocessing.get_context("fork").Process(target=echo, args=(l.address,), daemon=True).start()
        ends[name] = l.accept()
msg = bytes(size)
for line in sys.stdin:
    times = {}
    for name, c in ends.items():
        begin = time.perf_counter()
        for _ in range(trips):
            c.send_bytes(msg)
            c.recv_bytes()
        times[name] = (time.perf_counter() - begin) / trips * 1e9
    print(json.dumps(times), flush=True)
`

// speedEcho sends each message back: by the connection, or by the pipe to which it is upgraded.
var speedEcho = testkit.Task("connection speed echo", func(ctx context.Context, at speedPost) (proc.None, error) {
	c := at.Post.dial(ctx)
	defer c.Close()
	if at.Upgrades {
		return proc.None{}, echoUpgraded(ctx, c)
	}
	buf := make([]byte, speedMessage)
	for {
		n, err := c.ReceiveInto(ctx, buf)
		if err == io.EOF {
			return proc.None{}, nil
		}
		if err == nil {
			err = c.Send(ctx, buf[:n])
		}
		if err != nil {
			return proc.None{}, err
		}
	}
})

// A speedPost is what the process at the other end of a measured connection is given.
type speedPost struct {
	Post     cutPost
	Upgrades bool
}

// A tripper makes round trips.
type tripper interface {
	Send(ctx context.Context, msg []byte) error
	ReceiveInto(ctx context.Context, buf []byte) (int, error)
}

// tripTo returns this process's end of a connection with a process that sends all messages back.
func tripTo(t *testing.T, k cut, upgrades bool) tripper {
	l := testkit.Closing(t, testkit.Must(connection.Listen(k.network, networks()[k.network], k.options(t)))(t))
	at := newPost(t, k.network, l.Addr().String())
	testkit.Start(t, speedEcho, speedPost{cutPost{at, k.secure}, upgrades})
	c := testkit.Closing(t, testkit.Must(l.Accept(testkit.Within(t)))(t))
	if !upgrades {
		return c
	}
	u := upgrade(testkit.Within(t), c)
	testkit.WantNil(t, "Upgrade", u.err)
	testkit.Closing(t, u.memory)
	return u.pipe
}

// TestSpeed prints what a round trip takes over each kind of connection, and over Python's in the same rounds.
func TestSpeed(t *testing.T) {
	if !*speed {
		t.Skip("takes some seconds, on a machine that does nothing else: -speed")
	}
	peer := testkit.StartPython(t, python, strconv.Itoa(speedTrips), strconv.Itoa(speedMessage))
	ends := make(map[string]tripper)
	for _, k := range cuts {
		ends["mp, "+k.name] = tripTo(t, k, false)
	}
	ends["mp, upgraded"] = tripTo(t, cuts[0], true)

	ends["Go's net, unix"] = bareTo(t)

	ctx := testkit.Within(t)
	rounds := make([]map[string]float64, speedRounds)
	for i := range rounds {
		testkit.WantNil(t, "times of Python", json.Unmarshal([]byte(peer.Ask()), &rounds[i]))
		for name, c := range ends {
			rounds[i][name] = trip(ctx, t, c)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(rounds[0])) {
		took := sorted(rounds, func(r map[string]float64) float64 { return r[name] })
		ratio := sorted(rounds, func(r map[string]float64) float64 { return r["Python, unix"] / r[name] })
		t.Logf("%-14s a round trip of %d bytes takes %6.1f us (lower quartile %6.1f, least %6.1f): %5.2f times as fast as Python, unix",
			name, speedMessage, took[len(took)/2]/1000, took[len(took)/4]/1000, took[0]/1000, ratio[len(ratio)/2])
	}
}

// trip returns what a round trip takes in nanoseconds.
func trip(ctx context.Context, t *testing.T, c tripper) float64 {
	t.Helper()
	msg, buf := make([]byte, speedMessage), make([]byte, speedMessage)
	begin := time.Now()
	for range speedTrips {
		testkit.WantNil(t, "Send", c.Send(ctx, msg))
		testkit.Must(c.ReceiveInto(ctx, buf))(t)
	}
	return float64(time.Since(begin).Nanoseconds()) / speedTrips
}

// A bare is a socket of package net, without messages and contexts: what the others can't be faster than.
type bare struct{ net.Conn }

func (b bare) Send(_ context.Context, msg []byte) error { return testkit.Second(b.Write(msg)) }

func (b bare) ReceiveInto(_ context.Context, buf []byte) (int, error) { return io.ReadFull(b, buf) }

var bareEcho = testkit.Task("connection bare echo", func(ctx context.Context, address string) (proc.None, error) {
	b := bare{testkit.Must(net.Dial("unix", address))(stranger{})}
	defer b.Close()
	buf := make([]byte, speedMessage)
	for {
		if _, err := b.ReceiveInto(ctx, buf); err != nil {
			return proc.None{}, nil // the other side has ended
		}
		if err := b.Send(ctx, buf); err != nil {
			return proc.None{}, err
		}
	}
})

func bareTo(t *testing.T) bare {
	l := testkit.Closing(t, testkit.Must(net.Listen("unix", abstract()))(t))
	testkit.Start(t, bareEcho, l.Addr().String())
	return testkit.Closing(t, bare{testkit.Must(l.Accept())(t)})
}

// sorted returns f of each element, in order.
func sorted[T any](of []T, f func(T) float64) (all []float64) {
	for _, x := range of {
		all = append(all, f(x))
	}
	slices.Sort(all)
	return all
}
