package proc

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// park makes this process a spare: it runs the Preload of r and then waits for a task, which it
// returns. While it waits, Ctrl-C does not end it: its parent decides.
func (h *heritage) park(r *request) (*request, error) {
	h.catch()
	taken := make(chan struct{})
	go h.listenParked(taken)
	if err := adoptAll(h.grants); err != nil {
		return nil, err
	}
	h.grants = nil
	if r.task != "" {
		if _, err := h.call(context.Background(), r); err != nil {
			return nil, fmt.Errorf("preload: %w", err)
		}
	}
	if err := tell(h.control, frameParked, nil); err != nil {
		os.Exit(1) // the parent is dead
	}
	if crash.Enabled {
		crash.At(crash.SpareParked)
	}
	files, err := sys.ReceiveFiles(h.control)
	if sys.IsGone(err) {
		os.Exit(1) // the parent is dead, or has closed the spares
	}
	if err != nil {
		return nil, fmt.Errorf("receive the files from the parent: %w", err)
	}
	if crash.Enabled {
		crash.At(crash.SpareReceived)
	}
	if len(files) < 3 {
		return nil, fmt.Errorf("receive the files from the parent: %d of at least 3", len(files))
	}
	close(taken)
	if err := tell(h.control, frameTaken, nil); err != nil {
		os.Exit(1) // the parent is dead
	}
	if crash.Enabled {
		crash.At(crash.SpareTaken)
	}
	if err := sys.SetStandardFiles([3]*os.File(files)); err != nil {
		return nil, err
	}
	h.grants = files[3:]
	if r, err = readRequest(h.control); err != nil {
		os.Exit(1) // the parent is dead
	}
	setEnvironment(r.env)
	if r.dir != "" {
		if err := os.Chdir(r.dir); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// setEnvironment makes env the environment of this process.
func setEnvironment(env []string) {
	old := make(map[string]string)
	for _, kv := range os.Environ() {
		k, v, _ := strings.Cut(kv, "=")
		old[k] = v
	}
	for _, kv := range env {
		k, v, _ := strings.Cut(kv, "=")
		if was, ok := old[k]; !ok || was != v {
			_ = os.Setenv(k, v) // it fails for a name that no environment has
		}
		delete(old, k)
	}
	for k := range old {
		os.Unsetenv(k)
	}
}
