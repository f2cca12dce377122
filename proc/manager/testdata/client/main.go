// Command client uses a manager of another program: client NETWORK ADDRESS KEY MODE.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/seed-2e7ecdea/mp/proc/connection"
	"github.com/seed-2e7ecdea/mp/proc/manager"
)

func main() {
	if err := run(os.Args[1], os.Args[2], []byte(os.Args[3]), os.Args[4]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func run(network, address string, key []byte, mode string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := connection.Dial(ctx, network, address, &connection.Options{Key: key})
	if err != nil {
		return err
	}
	m, err := manager.Connect(ctx, conn)
	if err != nil {
		return err
	}
	defer m.Close()
	var scores manager.Dict[string, int]
	if err := m.Open(ctx, "scores", &scores); err != nil {
		return err
	}
	switch mode {
	case "set":
		return set(ctx, m, &scores)
	case "hold":
		if _, err := manager.NewList(ctx, m, 1, 2, 3); err != nil { // goes with this process
			return err
		}
		fmt.Println("holds")
		<-ctx.Done()
		return ctx.Err()
	case "until it dies":
		fmt.Println("uses")
		for err == nil {
			_, err = scores.Get(ctx, "a")
		}
		fmt.Println(errors.Is(err, manager.ErrServerDied))
		return nil
	}
	return fmt.Errorf("no mode %q", mode)
}

// set changes the dict, and publishes a list that is in another dict, too.
func set(ctx context.Context, m *manager.Manager, scores *manager.Dict[string, int]) error {
	var wrong manager.List[int]
	err := m.Open(ctx, "scores", &wrong)
	fmt.Println(errors.Is(m.Open(ctx, "none", scores), manager.ErrNotFound), err != nil)
	a, err := scores.Get(ctx, "a")
	if err != nil {
		return err
	}
	if err := scores.Set(ctx, "b", a+1); err != nil {
		return err
	}
	list, err := manager.NewList(ctx, m, "x", "y")
	if err != nil {
		return err
	}
	var lists manager.Dict[string, *manager.List[string]]
	if err := m.Open(ctx, "lists", &lists); err != nil {
		return err
	}
	return lists.Set(ctx, "mine", list)
}
