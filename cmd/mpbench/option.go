package main

// An option is the text of a flag, which reader interprets.
type option string

func (o *option) String() string        { return string(*o) }
func (o *option) Set(text string) error { *o = option(text); return nil }
