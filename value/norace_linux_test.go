//go:build !race

package value_test

const underRace = false
