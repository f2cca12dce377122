package connection_test

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/seed-2e7ecdea/mp/proc/connection"
)

// Both sides are in one program here. In two, both read the key from a file that only their user can read.
func Example() {
	ctx := context.Background()
	o := &connection.Options{Key: []byte(rand.Text())}

	l, err := connection.Listen("tcp", "127.0.0.1:0", o)
	check(err)
	defer l.Close()

	client, err := connection.Dial(ctx, "tcp", l.Addr().String(), o)
	check(err)
	defer client.Close()
	check(client.Send(ctx, []byte("hello")))

	server, err := l.Accept(ctx)
	check(err)
	defer server.Close()
	msg, err := server.Receive(ctx)
	check(err)
	fmt.Printf("%s\n", msg)
	// Output: hello
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
