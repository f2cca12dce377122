package codec_test

import (
	"bytes"
	"strings"
	"testing"
)

func sample() job {
	return job{42, "a name of 20 letters", []string{"red", "green", "blue"}}
}

func benchmark[T any](b *testing.B, v T) {
	c := of[T](b)
	buf, err := c.Append(nil, &v)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(buf)))
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			buf, _ = c.Append(buf[:0], &v)
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var got T
			if err := c.Decode(buf, &got); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkCodec(b *testing.B) {
	b.Run("job", func(b *testing.B) { benchmark(b, sample()) })
	b.Run("string=64", func(b *testing.B) { benchmark(b, strings.Repeat("x", 64)) })
	b.Run("bytes=1MiB", func(b *testing.B) { benchmark(b, bytes.Repeat([]byte("x"), 1<<20)) })
	b.Run("field=1MiB", func(b *testing.B) { benchmark(b, struct{ B []byte }{bytes.Repeat([]byte("x"), 1<<20)}) })
	b.Run("points=1000", func(b *testing.B) { benchmark(b, make([][2]float64, 1000)) })
	b.Run("payload", func(b *testing.B) {
		benchmark(b, map[string]any{"id": 1, "name": "x", "tags": []any{"a", "b"}, "score": 1.5})
	})
	b.Run("everything", func(b *testing.B) { benchmark(b, full()) })
}
