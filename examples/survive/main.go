// Command survive kills a worker with SIGKILL at a bad moment: it holds the lock
// that the others wait for, and what the lock guards is half changed.
//
// The workers move coins between two accounts in shared memory. The victim has
// taken coins from one and not yet given them to the other when it dies. The
// others learn of its death from the kernel: their Acquire fails with
// ErrOwnerDied. One of them repairs the accounts under Recover, and all go on.
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

const (
	total     = 1000 // coins in both accounts
	transfers = 100  // of one coin each
	workers   = 3
)

// The accounts lie in a block: plain shared bytes.
const (
	from      = 0
	to        = 8
	blockSize = 16
)

// A job is what a worker gets. The objects travel by their handles, the block by
// its name.
type job struct {
	Coins  *ring.Queue[uint32] // each value is a transfer
	Lock   *psync.Lock         // guards the accounts
	Block  string
	Halves *ring.Conn // nil, or where the victim says that it is half way
}

// An accountant is a worker with the block open.
type accountant struct {
	job
	block *shm.Block
}

var work = proc.Register("work", func(ctx context.Context, j job) (done int, err error) {
	block, err := shm.OpenBlock(j.Block, nil)
	if err != nil {
		return 0, err
	}
	defer block.Close()
	a := accountant{j, block}
	for {
		coins, err := j.Coins.Get(ctx)
		if errors.Is(err, ring.ErrShutdown) {
			return done, nil
		}
		if err != nil {
			return done, err
		}
		if err := a.transfer(ctx, int64(coins)); err != nil {
			return done, err
		}
		done++
	}
})

func (a *accountant) transfer(ctx context.Context, coins int64) error {
	if err := a.acquire(ctx); err != nil {
		return err
	}
	err := a.move(ctx, coins)
	return errors.Join(err, a.Lock.Release())
}

// acquire takes the lock, after the repair that a death makes necessary. That
// Acquire fails means that the lock is not held, so it is called again.
func (a *accountant) acquire(ctx context.Context) error {
	for {
		err := a.Lock.Acquire(ctx)
		if !errors.Is(err, psync.ErrOwnerDied) {
			return err
		}
		// Of all that come here, one repairs.
		if err := a.Lock.Recover(ctx, a.repair); err != nil {
			return err
		}
	}
}

// repair ends the transfer that the dead owner began.
func (a *accountant) repair() error {
	left, err := a.balance(from)
	if err != nil {
		return err
	}
	given, err := a.balance(to)
	if err != nil {
		return err
	}
	fmt.Printf("%s repairs: %d + %d coins, %d are missing\n", proc.Self(), left, given, total-left-given)
	return a.set(to, total-left)
}

func (a *accountant) move(ctx context.Context, coins int64) error {
	left, err := a.balance(from)
	if err != nil {
		return err
	}
	if err := a.set(from, left-coins); err != nil {
		return err
	}
	if a.Halves != nil {
		if err := a.Halves.Send(ctx, []byte("half way")); err != nil {
			return err
		}
		<-ctx.Done() // SIGKILL comes first
	}
	given, err := a.balance(to)
	if err != nil {
		return err
	}
	return a.set(to, given+coins)
}

func (a *accountant) balance(account int64) (int64, error) {
	var b [8]byte
	_, err := a.block.ReadAt(b[:], account)
	return int64(binary.NativeEndian.Uint64(b[:])), err
}

func (a *accountant) set(account, coins int64) error {
	var b [8]byte
	binary.NativeEndian.PutUint64(b[:], uint64(coins))
	_, err := a.block.WriteAt(b[:], account)
	return err
}

func main() {
	proc.Init()
	if err := survive(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func survive(ctx context.Context) error {
	// A named block stays until someone unlinks it. All else is anonymous, and
	// vanishes with the last process.
	name := fmt.Sprintf("mp-survive-%d", os.Getpid())
	block, err := shm.CreateBlock(name, blockSize, nil)
	if err != nil {
		return err
	}
	defer shm.Unlink(name)
	defer block.Close()
	seg, err := shm.Anonymous(1<<20, nil)
	if err != nil {
		return err
	}
	defer seg.Close()
	coins, err := ring.NewQueue[uint32](seg, "coins", 16, nil)
	if err != nil {
		return err
	}
	lock, err := psync.NewLock(seg, "accounts", nil)
	if err != nil {
		return err
	}
	ours, theirs, err := ring.NewPipe(seg, "halves", nil)
	if err != nil {
		return err
	}
	j := job{Coins: coins, Lock: lock, Block: name}
	bank := accountant{j, block}
	if err := bank.set(from, total); err != nil {
		return err
	}

	put := func(n int) error {
		for range n {
			if err := coins.Put(ctx, 1); err != nil {
				return err
			}
		}
		return nil
	}

	// The victim gets the first coin, and stops half way.
	bad := j
	bad.Halves = theirs
	victim, err := start(ctx, "victim", bad)
	if err != nil {
		return err
	}
	if err := put(1); err != nil {
		return err
	}
	if _, err := ours.Receive(ctx); err != nil {
		return err
	}
	// The others come, take a coin each, and have to wait for the lock.
	var others []*proc.Call[int]
	for i := range workers {
		p, err := start(ctx, fmt.Sprintf("worker %d", i+1), j)
		if err != nil {
			return err
		}
		others = append(others, p)
	}
	first := coins.Cap() // so many fit, whoever waits
	if err := put(first); err != nil {
		return err
	}
	if err := victim.Kill(); err != nil {
		return err
	}
	if err := put(transfers - 1 - first); err != nil {
		return err
	}
	if err := coins.Shutdown(); err != nil {
		return err
	}

	fmt.Println(victim.Join(ctx))
	done := 0
	for _, p := range others {
		n, err := p.Result(ctx)
		if err != nil {
			return err
		}
		done += n
	}
	left, err := bank.balance(from)
	if err != nil {
		return err
	}
	given, err := bank.balance(to)
	if err != nil {
		return err
	}
	fmt.Printf("the others did %d of %d transfers: %d + %d = %d coins\n", done, transfers, left, given, left+given)
	return nil
}

func start(ctx context.Context, name string, j job) (*proc.Call[int], error) {
	p, err := work.New(j, &proc.Options{Name: name})
	if err != nil {
		return nil, err
	}
	return p, p.Start(ctx)
}
