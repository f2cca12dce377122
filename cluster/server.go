package cluster

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

// An embedded is a NATS server in this process.
type embedded struct {
	*server.Server
	temporary string // directory to remove at the end, or empty
}

// A complaint is a server's logger that keeps the first error.
type complaint struct {
	mu    sync.Mutex
	text  string
	fatal bool // the server can't run
}

// Noticef ignores a message of the server.
func (c *complaint) Noticef(string, ...any) {}

// Warnf ignores a message of the server.
func (c *complaint) Warnf(string, ...any) {}

// Debugf ignores a message of the server.
func (c *complaint) Debugf(string, ...any) {}

// Tracef ignores a message of the server.
func (c *complaint) Tracef(string, ...any) {}

// Fatalf keeps the text, if it is the first one, and that the server can't run.
func (c *complaint) Fatalf(format string, v ...any) {
	c.Errorf(format, v...)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fatal = true
}

// Errorf keeps the text, if it is the first one.
func (c *complaint) Errorf(format string, v ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.text == "" {
		c.text = fmt.Sprintf(format, v...)
	}
}

func (c *complaint) first() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text
}

func (c *complaint) isFatal() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fatal
}

const (
	defaultMessage = 1 << 20
	maxMessage     = 64 << 20
	leastMessage   = 64 << 10 // the server's own answers must fit
)

// startServer starts a server by the options, and sets Options.Token if the server demands a token.
func startServer(o *Options) (_ *embedded, err error) {
	listen := o.Listen
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	host, service, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, fmt.Errorf("Options.Listen: %w", err)
	}
	port, err := strconv.Atoi(service)
	if err != nil {
		return nil, fmt.Errorf("Options.Listen: the port of %q is not a number", listen)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	if o.MaxMessage == 0 {
		o.MaxMessage = defaultMessage
	}
	if o.MaxMessage < leastMessage || o.MaxMessage > maxMessage {
		return nil, fmt.Errorf("Options.MaxMessage is %d: it must be from 64 KiB to 64 MiB", o.MaxMessage)
	}
	e := &embedded{}
	s := &server.Options{
		ServerName: "mp-" + rand.Text()[:8], Host: host, Port: port, MaxPayload: int32(o.MaxMessage),
		JetStream: true, StoreDir: o.Dir, SyncAlways: o.Sync,
		NoLog: true, NoSigs: true, TLSConfig: o.TLS, TLSTimeout: requestTime.Seconds(),
	}
	if s.MaxPending = server.MAX_PENDING_SIZE; int64(o.MaxMessage) > s.MaxPending {
		s.MaxPending = int64(o.MaxMessage)
	}
	if o.Seed != "" {
		pair, err := nkeys.FromSeed([]byte(o.Seed))
		if err != nil {
			return nil, fmt.Errorf("Options.Seed: %w", err)
		}
		public, err := pair.PublicKey()
		if err != nil {
			return nil, fmt.Errorf("Options.Seed: %w", err)
		}
		s.Nkeys = []*server.NkeyUser{{Nkey: public}}
	} else {
		if o.Token == "" {
			o.Token = rand.Text()
		}
		s.Authorization = o.Token
	}
	if o.Dir == "" {
		if e.temporary, err = os.MkdirTemp("", "mp-cluster-"); err != nil {
			return nil, err
		}
		s.StoreDir = e.temporary
	}
	if e.Server, err = server.NewServer(s); err != nil {
		return nil, errors.Join(fmt.Errorf("the server for %s can't be made: %w", listen, err), e.stop())
	}
	var why complaint
	e.SetLogger(&why, false, false)
	e.Start() // reads the messages in the directory
	if why.isFatal() || !e.JetStreamEnabled() || !e.ReadyForConnections(requestTime) {
		return nil, errors.Join(
			fmt.Errorf("the server did not start; is %s free, and may %q be written? %s", listen, s.StoreDir, why.first()), e.stop())
	}
	return e, nil
}

// stop ends the server and removes its directory if that is temporary.
func (e *embedded) stop() error {
	if e.Server != nil {
		e.Shutdown()
		e.WaitForShutdown()
	}
	if e.temporary != "" {
		return os.RemoveAll(e.temporary)
	}
	return nil
}
