//go:build !linux

package connection

import (
	"errors"
	"net"
)

func checkUnix() error { return errors.ErrUnsupported }

func userOf(*net.UnixConn) (uid int, err error) { return 0, errors.ErrUnsupported }
