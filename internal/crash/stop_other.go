//go:build crashpoints && !linux

package crash

import "errors"

func stop() error { return errors.ErrUnsupported }
