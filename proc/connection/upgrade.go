package connection

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"os"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/internal/sys"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

// How two programs move to shared memory:
//
//  1. The side that accepted makes an anonymous segment with a pipe in it. It claims a party of the segment
//     for the other side, which holds end B, and sends the party's file (kindOffer). The party lives
//     as long as any process has the file or the file is on its way, so each side learns of the
//     other's death from here on, whenever that happens.
//  2. The side that dialed becomes that party, and answers (kindTaken).
//  3. Both close the socket.

// upgradePipe is the name of the pipe.
const upgradePipe = "connection"

// upgradeSpace is the space of the segment in addition to the pipe's.
const upgradeSpace = 1 << 20

// Upgrade moves c, which is over a Unix socket, to memory that only the two programs share. Both sides must call
// it, when each has received all messages that the other has sent. It returns a pipe and the segment
// in which that lies, and closes c. The segment has space for 1 MiB of further objects. Close the
// segment at the end: this closes the pipe, too. The programs may run as different users. If one
// of them dies, the other gets io.EOF from the pipe after the last message. o are those of the side that
// accepted; nil means the defaults.
//
// Upgrade blocks until the other side has called it. It fails with ctx's error when ctx is done, with ErrMessage if
// there is a message to receive, with errors.ErrUnsupported if c is not over a Unix socket, with shm.ErrVersion if
// the other program has another version of mp, with ErrProtocol if the memory that it offers is not what
// mp makes, as shm.Anonymous and ring.NewPipe do, and as Send and Receive do. After ErrMessage and ctx's
// error at the side that dialed, c is as before. After any other error but errors.ErrUnsupported,
// c is closed, and the other side's Upgrade fails.
//
// Both programs can write to the memory. mp checks what it reads there, but a hostile program can
// always stop or garble what goes through it.
func (c *Conn) Upgrade(ctx context.Context, o *ring.PipeOptions) (*ring.Conn, *shm.Segment, error) {
	if !c.socket.unix {
		return nil, nil, c.failed("upgrade", fmt.Errorf("memory can be shared over Unix sockets only: %w", errors.ErrUnsupported))
	}
	var pipe *ring.Conn
	var seg *shm.Segment
	var err error
	if c.offers {
		if pipe, seg, err = c.offer(ctx, o); err != nil {
			c.Close()
		}
	} else {
		pipe, seg, err = c.accept(ctx)
	}
	if err != nil {
		return nil, nil, c.failed("upgrade", err)
	}
	c.Close() // nothing is lost by an error
	return pipe, seg, nil
}

// offer does steps 1 and 2 of the side that accepted.
func (c *Conn) offer(ctx context.Context, o *ring.PipeOptions) (_ *ring.Conn, _ *shm.Segment, err error) {
	size := upgradeSpace + 2<<16
	if o != nil && o.Capacity > 0 {
		if o.Capacity > 1<<28 {
			return nil, nil, fmt.Errorf("%w: capacity %d, want at most 256 MiB", shm.ErrSize, o.Capacity)
		}
		size = upgradeSpace + 4<<bits.Len(uint(o.Capacity-1))
	}
	seg, err := shm.Anonymous(size, nil)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, seg.Close())
		}
	}()
	mine, theirs, err := ring.NewPipe(seg, upgradePipe, o)
	if err != nil {
		return nil, nil, err
	}
	grant, err := object.NewGrant(seg, theirs.Handle())
	if err != nil {
		return nil, nil, err
	}
	if crash.Enabled {
		crash.At(crash.UpgradeMade)
	}
	if err := c.send(ctx, kindOffer, nil, []*os.File{grant.File()}); err != nil {
		return nil, nil, errors.Join(err, grant.Cancel())
	}
	if crash.Enabled {
		crash.At(crash.UpgradeOffered)
	}
	if err := errors.Join(grant.Release(), theirs.Close()); err != nil {
		return nil, nil, err
	}
	if crash.Enabled {
		crash.At(crash.UpgradeReleased)
	}
	_, _, err = c.receive(ctx, kindTaken)
	if crash.Enabled {
		crash.At(crash.UpgradeAnswered)
	}
	return mine, seg, err
}

// accept does steps 1 and 2 of the side that dialed. It closes c if it fails after it has got the offer.
func (c *Conn) accept(ctx context.Context) (_ *ring.Conn, _ *shm.Segment, err error) {
	_, files, err := c.receive(ctx, kindOffer)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	if crash.Enabled {
		crash.At(crash.UpgradeReceived)
	}
	if !sys.SealedSize(files[0]) {
		closeAll(files)
		return nil, nil, fmt.Errorf("a file is offered whose size may change: %w", ErrProtocol)
	}
	seg, err := object.Adopt(files[0])
	if err != nil {
		return nil, nil, err
	}
	if crash.Enabled {
		crash.At(crash.UpgradeAdopted)
	}
	pipe, err := ring.OpenPipe(seg, upgradePipe, ring.B)
	if err == nil {
		if crash.Enabled {
			crash.At(crash.UpgradeOpened)
		}
		err = c.send(ctx, kindTaken, nil, nil)
	}
	if err != nil {
		return nil, nil, errors.Join(err, seg.Close())
	}
	if crash.Enabled {
		crash.At(crash.UpgradeTaken)
	}
	return pipe, seg, nil
}
