// Package lint holds the repository's own rules, as tests:
//
//   - An import of one of mp's packages goes downwards, along an edge that
//     layers_test.go lists.
//   - Package unsafe is imported in files named *_unsafe.go and
//     *_unsafe_test.go only, golang.org/x/sys/unix in internal/sys only, C
//     nowhere.
//   - Other modules are imported, and required, only as modules_test.go lists
//     them.
//   - mp's sync is imported as psync.
//   - Whatever is exported has a doc comment, and so has each package.
//   - No file speaks of paths of the machine that it was written on.
//   - The Go programs in README.md are those in examples.
//   - What documents link to exists, and so do the tests and files that they name.
//
// They look at all files, whatever system they are built for.
package lint
