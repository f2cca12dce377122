// Command worker gives work to a program in another language. The program shares an array with this
// one and gets its orders over a pipe. Its arguments are the program and the program's arguments:
//
//	PYTHONPATH=clients/python go run ./examples/worker python3 examples/worker/python/worker.py
//
//	cc -std=c11 -O2 -Iclients/c -o /tmp/worker examples/worker/c/worker.c
//	go run ./examples/worker /tmp/worker
package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"log"
	"math"
	"os"

	"github.com/seed-2e7ecdea/mp"
)

// An order tells the worker which elements of the array to sum up.
type order struct{ From, To uint64 }

func main() {
	mp.Init()
	if len(os.Args) < 2 {
		log.Fatal("usage: worker PROGRAM [ARGUMENT...]")
	}
	ctx := context.Background()
	numbers := must(mp.NewArray[float64](1000))
	for i := range numbers.Len() {
		numbers.Set(i, float64(i))
	}
	orders, theirs, err := mp.NewPipe()
	check(err)

	worker := mp.Command(os.Args[1], os.Args[2:]...).Pass("numbers", numbers).Pass("orders", theirs)
	check(worker.Start(ctx))
	check(theirs.Close()) // the worker holds this end now: when it dies, Receive returns io.EOF

	sum := 0.0
	for from := range 10 {
		o := must(binary.Append(nil, binary.NativeEndian, order{uint64(from) * 100, uint64(from)*100 + 100}))
		check(orders.Send(ctx, o))
		answer := must(orders.Receive(ctx))
		sum += math.Float64frombits(binary.NativeEndian.Uint64(answer))
	}
	check(orders.Close()) // the worker's next receive finds the end of the file
	check(worker.Join(ctx))
	fmt.Println("sum of the squares:", sum)
}

func must[T any](v T, err error) T {
	check(err)
	return v
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
