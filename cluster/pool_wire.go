package cluster

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/seed-2e7ecdea/mp/ring"
)

// The calls of a pool and their replies are messages of one stream with work-queue retention:
//
//	NAME.pool.POOL.calls.CALLER    batches of calls; the only consumer of all of them is workers
//	NAME.pool.POOL.replies.CALLER  their answers; each caller has a consumer of its own
//	NAME.pool.POOL.tries.ID.HOST   that a machine got a batch: see tries.go; no consumer
//
// Notices are not stored:
//
//	NAME.pool.POOL.stop    calls whose answers are not wanted any more
//	NAME.pool.POOL.hosts   what a machine has, each second
//	NAME.pool.POOL.ask     machines are to say what they have

// A farCall is a batch of calls on its way to a machine.
type farCall struct {
	ID, Caller string
	Task       string
	Print      uint64
	Calls      int
	Data       []byte
	Timeout    time.Duration
	Retries    int
}

// A farReply has the answers to a farCall.
type farReply struct {
	ID, Host string
	Each     time.Duration // that a call took
	Answers  farAnswers
}

// farAnswers are the answers to the calls of a batch, in order, as proc's pools read them. They are in one piece:
// memory of its own for each would take longer than a short call.
type farAnswers struct {
	Data []byte   // the answers, each after its length
	Runs []farRun // who gave them
}

// A farRun is a run of answers of one worker.
type farRun struct {
	Worker string
	Calls  int
}

// append appends an answer.
func (a *farAnswers) append(worker string, answer []byte) {
	a.Data = append(binary.AppendUvarint(a.Data, uint64(len(answer))), answer...)
	if n := len(a.Runs); n > 0 && a.Runs[n-1].Worker == worker {
		a.Runs[n-1].Calls++
		return
	}
	a.Runs = append(a.Runs, farRun{worker, 1})
}

// cut takes the first answer off Data. It reports false if there is none, or an empty one.
func (a *farAnswers) cut() (answer []byte, ok bool) {
	n, k := binary.Uvarint(a.Data)
	if k <= 0 || n == 0 || n > uint64(len(a.Data)-k) {
		return nil, false
	}
	answer, a.Data = a.Data[k:k+int(n):k+int(n)], a.Data[k+int(n):]
	return answer, true
}

// fit reports whether these are the answers to that many calls.
func (a farAnswers) fit(calls int) bool {
	given := 0
	for _, r := range a.Runs {
		if r.Calls < 1 || r.Calls > calls-given {
			return false
		}
		given += r.Calls
	}
	for range given {
		if _, ok := a.cut(); !ok {
			return false
		}
	}
	return given == calls && len(a.Data) == 0
}

// A farStop says that the answer to a batch is not wanted any more.
type farStop struct {
	ID     string
	Gently bool // its worker is not to be killed
}

// A farHost says what a machine has.
type farHost struct {
	ID      string
	Workers int
	Room    int // batches that its workers can use at a time
}

// The codecs of what travels. Their types can be encoded, so there is no error.
var (
	callCodec, _  = ring.DefaultCodec[farCall]()
	replyCodec, _ = ring.DefaultCodec[farReply]()
	stopCodec, _  = ring.DefaultCodec[[]farStop]()
	hostCodec, _  = ring.DefaultCodec[farHost]()
)

// encode returns the encoded v.
func encode[T any](codec ring.Codec[T], v *T) []byte {
	data, err := codec.Append(nil, v)
	if err != nil {
		panic(err) // the types above always can be
	}
	return data
}

// A channel is what callers and machines know of a pool.
type channel struct {
	c       *Cluster
	name    string // the pool's
	subject string // begins all its subjects
	stream  string
	bucket  string // of what is too large for a message

	reading chan struct{} // has a value for each goroutine that has a large message in memory
}

// maxReading is how many large messages are in memory at once before they are delivered.
const maxReading = 4

// enter waits until the caller may read a large message. It reports false if ctx is done.
func (ch *channel) enter(ctx context.Context) bool {
	select {
	case ch.reading <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// leave is called after enter.
func (ch *channel) leave() { <-ch.reading }

// settings returns the consumer of all calls, whose AckWait is PoolOptions.Lease as the pool has it, and
// PoolOptions.Machines.
func (ch *channel) settings(ctx context.Context) (consumer jetstream.Consumer, machines uint64, err error) {
	stream, err := ch.c.js.Stream(ctx, ch.stream)
	if err != nil {
		return nil, 0, err
	}
	if consumer, err = stream.Consumer(ctx, callers); err != nil {
		return nil, 0, err
	}
	machines, err = strconv.ParseUint(stream.CachedInfo().Config.Metadata[metaMachines], 10, 31)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: the stream %s is not that of a pool", ErrVersion, ch.stream)
	}
	return consumer, machines, nil
}

func newChannel(c *Cluster, name string) (*channel, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	return &channel{
		c: c, name: name, subject: c.options.Name + ".pool." + name + ".",
		stream: c.options.Name + "_pool_" + name, bucket: c.options.Name + "_large_" + name,
		reading: make(chan struct{}, maxReading),
	}, nil
}

const (
	// keptFor bounds how long replies and large messages are kept that nobody takes, since their caller
	// has died.
	keptFor = 24 * time.Hour
	// maxObjectChunk bounds the messages that an object has.
	maxObjectChunk = 1 << 20
	// headRoom is what a message has besides its data: subject and headers.
	headRoom = 1024
)

// Keys of a stream's metadata and of a reply's headers.
const (
	metaMachines = "mp-machines" // PoolOptions.Machines
	headerID     = "Mp-Id"       // farReply.ID
)

// The first byte of a message says where its data are.
const (
	inMessage = 'm' // they follow
	inObject  = 'o' // in the object whose name follows
)

// isLarge reports whether data are too large for a message.
func (ch *channel) isLarge(data []byte) bool {
	return int64(len(data)+headRoom) > ch.c.conn.MaxPayload()
}

// publish stores data as the message with that id, or in the object if they are too large for a message.
// It repeats that until the server has answered. If the server has a message of that id already, the
// answer has that message's number.
func (ch *channel) publish(ctx context.Context, msg *nats.Msg, id, object string, data []byte, o ...jetstream.PublishOpt) (ack *jetstream.PubAck, err error) {
	msg.Data = append([]byte{inMessage}, data...)
	if ch.isLarge(data) {
		if err := ch.putObject(ctx, object, data); err != nil {
			return nil, err
		}
		msg.Data = append([]byte{inObject}, object...)
	}
	o = append(o, jetstream.WithMsgID(id), jetstream.WithRetryAttempts(0))
	err = ch.c.insist(ctx, func(ctx context.Context) (err error) {
		ack, err = ch.c.js.PublishMsg(ctx, msg, o...)
		return err
	})
	return ack, err
}

// message returns the message with that number in the stream. It fails with jetstream.ErrMsgNotFound.
func (ch *channel) message(ctx context.Context, seq uint64) (msg *jetstream.RawStreamMsg, err error) {
	err = ch.c.insist(ctx, func(ctx context.Context) error {
		stream, err := ch.c.js.Stream(ctx, ch.stream)
		if err == nil {
			msg, err = stream.GetMsg(ctx, seq)
		}
		return err
	})
	return msg, err
}

// dropUnlessNamed deletes an object, unless the message with that number names it. It is for an object
// whose own message the server has dropped, since it had one of that id, perhaps this very one, whose
// first answer was lost. If that message is gone, its receiver has dealt with it and with its object.
func (ch *channel) dropUnlessNamed(ctx context.Context, object string, seq uint64) {
	msg, err := ch.message(ctx, seq)
	if err == nil && len(msg.Data) > 0 && msg.Data[0] == inObject && string(msg.Data[1:]) == object {
		return
	}
	if err == nil || errors.Is(err, jetstream.ErrMsgNotFound) { // else it is not known, and the object vanishes later
		ch.drop(object)
	}
}

// read returns the data of a message, and the name of the object that they were in, or "".
func (ch *channel) read(ctx context.Context, msg []byte) (data []byte, object string, err error) {
	if len(msg) == 0 {
		return nil, "", errMessage
	}
	switch msg[0] {
	case inMessage:
		return msg[1:], "", nil
	case inObject:
		object = string(msg[1:])
		data, err = ch.getObject(ctx, object)
		return data, object, err
	}
	return nil, "", errMessage
}

var (
	errMessage      = errors.New("a message of the pool is malformed")
	errAbsentObject = fmt.Errorf("the large message is gone: %w", fs.ErrNotExist)
)

// objects returns the store of the pool's large messages, which it makes if it is not there.
func (ch *channel) objects(ctx context.Context) (jetstream.ObjectStore, error) {
	store, err := ch.c.js.ObjectStore(ctx, ch.bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		store, err = ch.c.js.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{
			Bucket: ch.bucket, TTL: keptFor, Storage: ch.c.storage(), Replicas: ch.c.options.Replicas,
		})
	}
	return store, err
}

func (ch *channel) putObject(ctx context.Context, name string, data []byte) error {
	err := ch.c.insistWith(ctx, transferPatience(uint64(len(data))), func(ctx context.Context) error {
		store, err := ch.objects(ctx)
		if err == nil {
			chunk := uint32(min(ch.c.conn.MaxPayload()-headRoom, maxObjectChunk))
			meta := jetstream.ObjectMeta{Name: name, Opts: &jetstream.ObjectMetaOptions{ChunkSize: chunk}}
			_, err = store.Put(ctx, meta, bytes.NewReader(data))
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("a large message can't be stored: %w", err)
	}
	return nil
}

func (ch *channel) getObject(ctx context.Context, name string) (data []byte, err error) {
	var size uint64
	err = ch.c.insist(ctx, func(ctx context.Context) error {
		store, err := ch.objects(ctx)
		if err == nil {
			var info *jetstream.ObjectInfo
			if info, err = store.GetInfo(ctx, name); err == nil {
				size = info.Size
			}
		}
		return present(err)
	})
	if err != nil {
		return nil, err
	}
	err = ch.c.insistWith(ctx, transferPatience(size), func(ctx context.Context) error {
		store, err := ch.objects(ctx)
		if err == nil {
			data, err = store.GetBytes(ctx, name)
		}
		return present(err)
	})
	return data, err
}

// present returns err, or errAbsentObject if it says that an object is not there.
func present(err error) error {
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return errAbsentObject
	}
	return err
}

// drop deletes an object, in a bounded time. If that fails, it vanishes later by itself.
func (ch *channel) drop(name string) {
	_ = ch.c.bounded(context.Background(), cleanTime, func(ctx context.Context) error {
		store, err := ch.objects(ctx)
		if err == nil {
			err = store.Delete(ctx, name)
		}
		return err
	})
}
