package connection

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

// A Listener accepts connections at an address. All methods may be called from several goroutines at once.
//
// Handshakes run by themselves, beside each other, also while no goroutine is in Accept. So a slow or
// hostile client does not hold Accept up, and a client may connect, send and close before Accept
// returns its connection: what it has sent is not lost.
type Listener struct {
	l       net.Listener
	o       Options
	ready   chan *Conn    // never full: slots bounds the connections in it
	slots   chan struct{} // one element for each connection that is, or will at once be, in ready
	closing chan struct{}
	closed  sync.Once
	running sync.WaitGroup // the accepting goroutine and the handshakes

	ended chan struct{} // has an element if a handshake has ended since run looked

	mu         sync.Mutex
	handshakes turnstile // in the order in which they began
}

// Listen listens at an address. It fails with ErrNoKey, with syscall.EADDRINUSE if the address is in use,
// with errors.ErrUnsupported, or as net.Listen does. A listener that was killed leaves the file of its
// Unix socket behind: remove the file, or use an abstract name.
func Listen(network, address string, o *Options) (*Listener, error) {
	all, err := o.complete()
	if err == nil {
		err = all.known(network)
	}
	if err != nil {
		return nil, failed("listen", network, address, err)
	}
	nl, err := net.Listen(network, address)
	if err != nil {
		return nil, failed("listen", network, address, err)
	}
	l := &Listener{
		l: nl, o: all,
		ready: make(chan *Conn, Backlog), slots: make(chan struct{}, Backlog), closing: make(chan struct{}),
		ended: make(chan struct{}, 1),
	}
	l.running.Go(l.run)
	return l, nil
}

// Addr returns the address, with the port that the system chose if that of Listen was 0.
func (l *Listener) Addr() net.Addr { return l.l.Addr() }

// Accept returns the next connection whose handshake has succeeded. It blocks while there is none. It
// fails with ctx's error when ctx is done, or with ErrClosed.
func (l *Listener) Accept(ctx context.Context) (*Conn, error) {
	select {
	case <-l.closing:
		return nil, l.failed("accept", ErrClosed)
	default:
	}
	select {
	case c := <-l.ready:
		<-l.slots
		return c, nil
	case <-ctx.Done():
		return nil, l.failed("accept", ctx.Err())
	case <-l.closing:
		return nil, l.failed("accept", ErrClosed)
	}
}

// Close stops listening, and closes all connections that Accept has not returned. Calls of Accept return
// ErrClosed. Close waits for calls of Options.Refused. It may be called more than once.
func (l *Listener) Close() error {
	var err error
	l.closed.Do(func() {
		close(l.closing)
		err = l.l.Close()
		l.mu.Lock()
		for _, s := range l.handshakes {
			s.c.Close()
		}
		l.mu.Unlock()
	})
	l.running.Wait()
	for {
		select {
		case c := <-l.ready:
			c.Close()
		default:
			return l.failed("close", err)
		}
	}
}

func (l *Listener) failed(op string, err error) error {
	return failed(op, l.Addr().Network(), l.Addr().String(), err)
}

// run accepts clients until Close.
func (l *Listener) run() {
	const shortest, longest = time.Millisecond, time.Second
	wait := shortest
	for {
		c, err := l.l.Accept()
		if err == nil {
			wait = shortest
			l.begin(c)
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		// The process has no descriptor left, for example. Clients wait in the socket's own queue.
		select {
		case <-time.After(wait):
			wait = min(2*wait, longest)
		case <-l.closing:
			return
		}
	}
}

// begin starts the handshake of c when the turnstile lets it in.
func (l *Listener) begin(c net.Conn) {
	origin := originOf(c)
	for {
		wait := l.enter(c, origin)
		if wait <= 0 {
			return
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-l.ended:
		case <-l.closing:
		}
		timer.Stop()
	}
}

// enter starts the handshake of c, or returns how long to wait before that.
func (l *Listener) enter(c net.Conn, origin string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.closing: // Close has closed the others
		c.Close()
		return 0
	default:
	}
	victim := l.handshakes.victim(origin)
	if wait := l.handshakes.wait(victim, origin); wait > 0 {
		return wait
	}
	if victim >= 0 {
		l.handshakes[victim].c.Close()
		l.handshakes = slices.Delete(l.handshakes, victim, victim+1)
	}
	l.handshakes = append(l.handshakes, shake{c, origin, time.Now()})
	l.running.Go(func() {
		slot := false
		s, err := l.handshake(c, &slot)
		own := l.end(c)
		if err == nil && own {
			l.ready <- newConn(s, l.o.MaxMessage, true)
			return
		}
		c.Close()
		if slot {
			<-l.slots
		}
		if err == nil {
			err = ErrClosed
		}
		l.o.Refused(c.RemoteAddr(), err)
	})
	return 0
}

// handshake does the handshake of c. It sets *slot if c has a slot in the backlog.
func (l *Listener) handshake(c net.Conn, slot *bool) (*session, error) {
	deadline := time.Now().Add(l.o.HandshakeTimeout)
	if err := c.SetDeadline(deadline); err != nil {
		return nil, err
	}
	if err := l.o.checkUser(c); err != nil {
		return nil, err
	}
	s, err := newSession(context.Background(), c, tlsFor(l.o.TLS, ""), tls.Server)
	if err != nil {
		return nil, err
	}
	if err := admit(s, l.o.Key, func() error {
		late := time.NewTimer(time.Until(deadline))
		defer late.Stop()
		select {
		case l.slots <- struct{}{}:
			*slot = true
			return nil
		case <-late.C:
			return os.ErrDeadlineExceeded
		case <-l.closing:
			return ErrClosed
		}
	}); err != nil {
		return nil, err
	}
	return s, c.SetDeadline(time.Time{})
}

// end takes c out of the handshakes. It returns false if enter or Close has closed c.
func (l *Listener) end(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.handshakes, func(s shake) bool { return s.c == c })
	if i < 0 {
		return false
	}
	l.handshakes = slices.Delete(l.handshakes, i, i+1)
	select {
	case l.ended <- struct{}{}:
	default:
	}
	select {
	case <-l.closing:
		return false
	default:
		return true
	}
}

// Dial connects to a Listener. It blocks until the handshake has ended. It fails with ErrNoKey,
// ErrAuthentication, ErrUser, errors.ErrUnsupported, an error of crypto/tls, ctx's error when ctx is done, os.ErrDeadlineExceeded
// if the handshake takes too long, io.EOF or a socket's error if the listener closes the connection during
// the handshake (it does not allow this user, for example), or as net.Dial does.
func Dial(ctx context.Context, network, address string, o *Options) (*Conn, error) {
	all, err := o.complete()
	if err == nil {
		err = all.known(network)
	}
	if err != nil {
		return nil, failed("dial", network, address, err)
	}
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, failed("dial", network, address, err)
	}
	var s *session
	err = all.checkUser(c)
	if err == nil {
		c.SetDeadline(time.Now().Add(all.HandshakeTimeout))
		undo := context.AfterFunc(ctx, func() { c.Close() })
		if s, err = newSession(ctx, c, tlsFor(all.TLS, address), tls.Client); err == nil {
			err = prove(s, all.Key)
		}
		if !undo() {
			err = ctx.Err()
		}
	}
	if err == nil {
		err = c.SetDeadline(time.Time{})
	}
	if err != nil {
		c.Close()
		return nil, failed("dial", network, address, err)
	}
	return newConn(s, all.MaxMessage, false), nil
}
