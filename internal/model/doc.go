// Package model holds Promela models of what mp claims about its primitives,
// for the model checker spin (https://spinroot.com), which tries every
// interleaving of their steps: of threads that are killed at any step, whose
// contexts end at any step, and whose stores wait in store buffers.
//
// There is no Go here but the test that runs them. README.md says what each
// model claims, and which function each step stands for.
package model
