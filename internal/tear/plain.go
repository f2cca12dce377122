//go:build (amd64 || 386) && !race

package tear

// Load copies *src, which lies in shared memory, to *dst.
func Load[T any](dst, src *T) { *dst = *src }

// Store copies *src to *dst, which lies in shared memory.
func Store[T any](dst, src *T) { *dst = *src }
