// Package lint tests that the repository keeps its own rules:
//
//   - A package of mp imports only packages of lower layers that layers_test.go lists for it.
//   - Only files named *_unsafe.go and *_unsafe_test.go import package unsafe, only
//     internal/sys imports golang.org/x/sys/unix, and no file imports C.
//   - Only internal/sys/close_linux.go closes a descriptor by its number, which finds one that is closed twice.
//   - Other modules are imported, and required in go.mod, only as modules_test.go lists
//     them.
//   - The package sync of mp is imported as psync.
//   - All exported names and all packages have a doc comment.
//   - No file contains paths of the machine on which it was written.
//   - The Go programs in README.md and in the package comment of mp are programs in examples.
//   - Each behaviour of multiprocessing that conformance_test.go lists has a test with its id.
//   - All links in documents lead somewhere, and all tests and files that documents name exist.
//
// The rules apply to all files, whichever system they are built for.
package lint
