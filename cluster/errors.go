package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/seed-2e7ecdea/mp/internal/relay"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
)

// Errors of this package. Methods also return those of package ring (ErrFull, ErrEmpty,
// ErrShutdown, ErrClosed, ErrTooLarge, ErrLeaseEnded, ErrTooManyDone) and of package proc
// (ErrPoolClosed, ErrUnknownTask). All are wrapped in an error that names the operation and the
// object.
var (
	// ErrVersion means that two programs do not have the same types. The error says both fingerprints.
	ErrVersion = relay.ErrVersion
	// ErrName means that a name is not valid: names have 1 to 64 letters, digits, '-' and '_'.
	ErrName = errors.New("the name must have 1 to 64 letters, digits, '-' and '_'")
	// ErrMachines means that as many machines have begun a call as PoolOptions.Machines allows, and that
	// none of them has answered: each has died or was cut off, perhaps by what the call does.
	ErrMachines = errors.New("each machine that got the call was lost")
	// ErrBridgeDied means that the process of the Bridge that feeds this machine has died. Its values come
	// back when their leases expire.
	ErrBridgeDied = errors.New("the process of the bridge died")
)

func init() { proc.RegisterError(ErrVersion, ErrName, ErrMachines, ErrBridgeDied) }

// failed returns the error of an operation on the object of that kind and name. It wraps err.
func failed(op, kind, name string, err error) error {
	return fmt.Errorf("cluster: %s of %s %q: %w", op, kind, name, err)
}

// checkName returns ErrName if a name can't be part of a subject.
func checkName(name string) error {
	if len(name) < 1 || len(name) > 64 {
		return ErrName
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return ErrName
		}
	}
	return nil
}

// Codes of the server's errors.
const (
	codeStoreFailed = 10077 // also that a stream has reached its limits
	codeTooLarge    = 10054
	codeNoPeers     = 10005
)

var errNoJetStream = errors.New("the server has no JetStream")

// A verdict says what to do after a request to the server has failed.
type verdict int

const (
	fatal  verdict = iota // the request can't succeed
	again                 // the server is not there, or has not answered: try again
	full                  // the stream has reached its limits
	nobody                // no stream takes the subject
)

// judge returns what to do about an error of the server or the connection, and the error to report.
func judge(err error) (verdict, error) {
	var api *jetstream.APIError
	switch {
	case errors.Is(err, nats.ErrMaxPayload):
		return fatal, fmt.Errorf("%w: raise the server's max_payload (Options.MaxMessage)", ring.ErrTooLarge)
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrConnectionDraining):
		return fatal, ring.ErrClosed
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return fatal, err
	case errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, nats.ErrNoResponders):
		return nobody, err
	case errors.As(err, &api):
		switch {
		case api.ErrorCode == codeStoreFailed && (api.Description == "maximum messages exceeded" || api.Description == "maximum bytes exceeded"):
			return full, ring.ErrFull
		case api.ErrorCode == codeTooLarge:
			return fatal, fmt.Errorf("%w: %s", ring.ErrTooLarge, api.Description)
		case api.ErrorCode == codeNoPeers && strings.Contains(api.Description, "offline"):
			return again, err // one of the servers that are to keep the messages is not there, or just starts
		case api.Code >= 500:
			return again, err // the server starts, or has no leader
		}
		return fatal, err
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrPermissionViolation),
		errors.Is(err, fs.ErrExist), errors.Is(err, fs.ErrNotExist), errors.Is(err, ErrVersion), errors.Is(err, errNoJetStream):
		return fatal, err
	}
	return again, err
}
