// The codecs that package codec is compared with, which are no requirements of mp:
//
//	cd internal/codec/testdata/compare && go test -bench .
module github.com/seed-2e7ecdea/mp/internal/codec/testdata/compare

go 1.26.0

require (
	github.com/fxamacker/cbor/v2 v2.9.0
	github.com/seed-2e7ecdea/mp v0.0.0
)

require github.com/x448/float16 v0.8.4 // indirect

replace github.com/seed-2e7ecdea/mp => ../../../..
