// Package look says how long mp sleeps before it looks again by itself.
//
// No wait needs that, unless a process is stopped or starved: a change is followed by a wake. So a
// binary that is built with the tag unbounded never looks again. A wake that is lost there is a wait
// that does not end, which a test finds, and not one that takes a second longer.
package look
