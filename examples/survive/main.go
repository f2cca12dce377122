// Command survive kills a process that holds a lock and has changed half of
// what the lock guards. Acquire then returns ErrOwnerDied to the other processes. One of
// them repairs the accounts, and all of them continue.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/seed-2e7ecdea/mp"
)

const total = 1000 // coins, in both accounts together

type bank struct {
	Accounts *mp.Array[int64]
	Victim   bool
}

// move moves 100 coins from account 0 to account 1, one by one. The victim dies
// between the two halves of the 51st.
var move = mp.Register("move", func(ctx context.Context, b bank) (mp.None, error) {
	accounts, lock := b.Accounts.Slice(), b.Accounts.Lock()
	for i := range 100 {
		check(acquire(ctx, b))
		accounts[0]--
		if b.Victim && i == 50 {
			self, err := os.FindProcess(os.Getpid())
			check(errors.Join(err, self.Kill()))
		}
		accounts[1]++
		check(lock.Release())
	}
	return mp.None{}, nil
})

// acquire takes the lock, after the repair that a death makes necessary.
func acquire(ctx context.Context, b bank) error {
	lock := b.Accounts.Lock()
	err := lock.Acquire(ctx)
	for errors.Is(err, mp.ErrOwnerDied) { // not acquired: one of all callers repairs
		if err = lock.Recover(ctx, func() error {
			fmt.Printf("repairing %d + %d coins\n", b.Accounts.At(0), b.Accounts.At(1))
			b.Accounts.Set(1, total-b.Accounts.At(0))
			return nil
		}); err == nil {
			err = lock.Acquire(ctx)
		}
	}
	return err
}

func main() {
	mp.Init()
	ctx := context.Background()
	accounts, err := mp.NewArray[int64](2)
	check(err)
	accounts.Set(0, total)
	workers := mp.NewGroup(ctx)
	for range 2 {
		workers.Go(move.With(bank{accounts, false}))
	}
	victim, err := move.Start(ctx, bank{accounts, true}, nil)
	check(err)
	fmt.Println(victim.Join(ctx))
	check(workers.Wait())
	check(acquire(ctx, bank{accounts, false})) // should the victim have been the last
	fmt.Printf("%d + %d coins\n", accounts.At(0), accounts.At(1))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
