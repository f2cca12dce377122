// Command python shares an array of structs, a text and values with a Python
// program. That program finds the objects by their names in the segment's file, and uses them in
// place through ctypes. The command needs python3 and the directory of its Python files:
//
//	go run ./examples/python examples/python
package main

import (
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/seed-2e7ecdea/mp/array"
	"github.com/seed-2e7ecdea/mp/shm"
	"github.com/seed-2e7ecdea/mp/value"
)

// A point has the layout of a ctypes.Structure of two c_double.
type point struct{ X, Y float64 }

// A summary is larger than a word. Python reads it without tearing, as mp does.
type summary struct {
	Count     int32
	Low, High point
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: python DIRECTORY")
	}
	name := fmt.Sprintf("mp-python-%d", os.Getpid())
	seg := must(shm.Create(name, 1<<16, nil))
	defer shm.Unlink(name)
	points := must(array.NewFrom(seg, "points", []point{{1.875, -6.25}, {-5.75, 2.0}, {2.375, 9.5}}, nil))
	text := must(array.NewBytesFrom(seg, "text", "hello world", nil))
	n := must(value.New(seg, "n", int32(0), nil))
	must(value.New(seg, "summary", summary{3, point{-5.75, -6.25}, point{2.375, 9.5}}, nil))

	python := exec.Command("python3", "-B", filepath.Join(os.Args[1], "points.py"), name)
	python.Stdout, python.Stderr = os.Stdout, os.Stderr
	if err := python.Run(); err != nil {
		panic(err)
	}
	fmt.Println("Go:", n.Load(), text, points.Slice())
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // and not log.Fatal, which would not run the deferred Unlink
	}
	return v
}
