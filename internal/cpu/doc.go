// Package cpu has the few processor instructions that Go has no function for.
package cpu
