package ring_test

import (
	"bytes"
	"encoding/binary"
)

// words makes the messages of a storm. message makes the one of a number in a life, and read returns
// what a message says. If it is torn, it differs from what message makes.
type words[M any] struct {
	message func(life, number uint32) M
	read    func(M) (life, number uint32)
	equal   func(a, b M) bool
}

// A stormMessage is long enough to be torn.
type stormMessage struct {
	Life, Number uint32
	Copies       [14]uint32
}

var fixedWords = words[stormMessage]{
	message: func(life, number uint32) stormMessage {
		m := stormMessage{Life: life, Number: number}
		for i := range m.Copies {
			m.Copies[i] = life ^ number + uint32(i)
		}
		return m
	},
	read:  func(m stormMessage) (uint32, uint32) { return m.Life, m.Number },
	equal: func(a, b stormMessage) bool { return a == b },
}

// variableWords are messages whose length and bytes depend on their number.
var variableWords = words[[]byte]{
	message: func(life, number uint32) []byte {
		b := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, life), number)
		n := [...]int{10, 90, 300, 2000, 9000}[number%5]
		return append(b, pattern(make([]byte, n), int(life^number))...)
	},
	read: func(m []byte) (uint32, uint32) {
		if len(m) < 8 {
			return stormLives, 0
		}
		return binary.LittleEndian.Uint32(m), binary.LittleEndian.Uint32(m[4:])
	},
	equal: bytes.Equal,
}
