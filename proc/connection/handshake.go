package connection

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
)

// The handshake:
//
//  1. Each side sends its hello: the magic bytes, which name the version, and a nonce of 32 random bytes.
//  2. The client sends its proof: the HMAC-SHA256, by the key, of the magic bytes, the role "client", the
//     client's nonce, the listener's nonce, and the binding of the TLS session if there is one.
//  3. The listener checks it in constant time. It answers with the byte refused and closes the
//     connection, or with the byte welcome and its own proof, with the role "server".
//  4. The client checks that proof. Then messages follow.
//
// The role makes the proofs of the two sides differ, so a proof that is sent back proves nothing. The nonces
// make the proofs of two handshakes differ, so a recorded proof proves nothing later. The binding makes the proofs
// of two TLS sessions differ, so a proof that is passed on from one to another proves nothing.

const (
	magic     = "mp/conn\x02"
	nonceSize = 32
	helloSize = len(magic) + nonceSize

	client = "client"
	server = "server"

	refused = 0
	welcome = 1
)

// proof returns the proof of one role.
func proof(key []byte, role string, clientNonce, serverNonce, binding []byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, part := range [][]byte{[]byte(magic), []byte(role), clientNonce, serverNonce, binding} { // of fixed sizes, or the last is empty
		h.Write(part)
	}
	return h.Sum(nil)
}

// greet does step 1 and returns the nonces of both sides.
func greet(c net.Conn) (own, other []byte, err error) {
	hello := make([]byte, helloSize)
	own = hello[copy(hello, magic):]
	rand.Read(own) // never fails
	if _, err := c.Write(hello); err != nil {
		return nil, nil, err
	}
	got := make([]byte, helloSize)
	if _, err := io.ReadFull(c, got); err != nil {
		return nil, nil, err
	}
	if !bytes.HasPrefix(got, []byte(magic)) {
		return nil, nil, fmt.Errorf("no hello of this protocol: %w", ErrAuthentication)
	}
	return own, got[len(magic):], nil
}

// prove does the client's part of the handshake.
func prove(s *session, key []byte) error {
	c := s.shake
	own, other, err := greet(c)
	if err != nil {
		return err
	}
	if _, err := c.Write(proof(key, client, own, other, s.binding)); err != nil {
		return err
	}
	var answer [1 + sha256.Size]byte
	if _, err := io.ReadFull(c, answer[:1]); err != nil {
		return err
	}
	if answer[0] != welcome {
		return fmt.Errorf("refused by the listener: %w", ErrAuthentication)
	}
	if _, err := io.ReadFull(c, answer[1:]); err != nil {
		return err
	}
	if !hmac.Equal(answer[1:], proof(key, server, own, other, s.binding)) {
		return fmt.Errorf("wrong proof of the listener: %w", ErrAuthentication)
	}
	return nil
}

// admit does the listener's part of the handshake. It calls admitted between a right proof and the answer to
// it, and refuses the client if that fails.
func admit(s *session, key []byte, admitted func() error) error {
	c := s.shake
	own, other, err := greet(c)
	if err != nil {
		return err
	}
	var got [sha256.Size]byte
	if _, err := io.ReadFull(c, got[:]); err != nil {
		return err
	}
	if !hmac.Equal(got[:], proof(key, client, other, own, s.binding)) {
		c.Write([]byte{refused}) // the client may be gone
		return fmt.Errorf("wrong proof of the client: %w", ErrAuthentication)
	}
	if err := admitted(); err != nil {
		return err
	}
	_, err = c.Write(append([]byte{welcome}, proof(key, server, other, own, s.binding)...))
	return err
}
