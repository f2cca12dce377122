//go:build (amd64 || 386) && !race

package tear

// Load copies *src, which lies in shared memory, to *dst.
func Load[T any](dst, src *T) { *dst = *src }

// Store copies *src to *dst, which lies in shared memory.
func Store[T any](dst, src *T) { *dst = *src }

// LoadBytes copies src, which lies in shared memory, to dst, which is as long.
func LoadBytes(dst, src []byte) { copy(dst, src) }

// StoreBytes copies src to dst, which lies in shared memory and is as long.
func StoreBytes(dst, src []byte) { copy(dst, src) }
