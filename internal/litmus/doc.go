// Package litmus checks that mp is correct on processors that reorder memory accesses. It has only
// tests:
//
//   - Litmus tests: each handshake of mp is a program of two to four threads with a few accesses,
//     and an outcome that must not happen. An explorer tries every execution of it that the memory
//     model of the processor allows, with the instructions that Go's compiler uses there. It also
//     tries the program with one ordering left out, and must find the outcome then.
//   - Known results: the explorer agrees with the published verdicts on the litmus tests of the
//     literature, and with herd7 if that is installed.
//   - Object code: the functions in which the handshakes are have the instructions that the litmus
//     tests assume.
//
// docs/design/memory.md has the table of the litmus tests, and what they do not show.
//
// The explorer is axiomatic. An execution consists of the accesses of each thread in program order
// (po), of the write from which each read takes its value (rf), and of an order of the writes to
// each location, its coherence order (co). A read comes before each write that follows in the
// coherence order the one it read from (fr). A memory model says which of these edges, together
// with those between accesses that the processor keeps in order, must not form a cycle. The
// models are written from these sources:
//
//   - x86: Owens, Sarkar, Sewell, "A Better x86 Memory Model: x86-TSO" (2009), in the axiomatic form
//     of Alglave, Maranget, Tautschnig, "Herding Cats" (2014).
//   - Armv8: Deacon's model as in Pulte, Flur, Deacon, French, Sarkar, Sewell, "Simplifying ARM
//     Concurrency" (2018), and the Arm Architecture Reference Manual, B2.3, where that orders less, and
//     for atomic instructions that acquire and release.
//   - RVWMO: The RISC-V Instruction Set Manual, Volume I, chapter RVWMO and appendix A.
package litmus
