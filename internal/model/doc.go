// Package model holds models of mp's protocols in Promela, the language of the model
// checker spin (https://spinroot.com), and tests that check them. Spin tries every
// interleaving of the steps of the threads, which are killed between any two steps, whose
// contexts end at any step, and whose stores wait in store buffers.
//
// README.md says what each model claims, and which function each step models.
package model
