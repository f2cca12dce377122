package main

import (
	_ "embed"
	"fmt"
	"html"
	"html/template"
	"strings"
)

// pictureStyle has the colours of pictures, for light and dark places.
//
//go:embed picture.css
var pictureStyle string

// A picture is drawn in the units of its width and height. Its colours are classes of pictureStyle.
type picture struct {
	Title, Note   string
	Legend        []legendEntry
	file          string // its name where pictures are files
	width, height int
	body          string // elements of SVG
}

// A legendEntry says what a colour stands for.
type legendEntry struct {
	Name  string
	class string
	bar   bool
}

// The size of the sample of a colour.
const sampleWidth, sampleHeight = 26, 10

// SVG returns the picture for an HTML page that has pictureStyle.
func (p *picture) SVG() template.HTML {
	return template.HTML(fmt.Sprintf(`<svg viewBox="0 0 %d %d" role="img" aria-label="%s">%s</svg>`,
		p.width, p.height, html.EscapeString(p.Title), p.body)) // all text in body is escaped
}

// Sample returns a small picture of the colour, for an HTML page.
func (e legendEntry) Sample() template.HTML {
	return template.HTML(fmt.Sprintf(`<svg viewBox="0 0 %d %d">%s</svg>`, sampleWidth, sampleHeight, e.sample()))
}

func (e legendEntry) sample() string {
	if e.bar {
		return fmt.Sprintf(`<rect class="%s" x="13" y="0" width="10" height="10" rx="2"/>`, e.class)
	}
	return fmt.Sprintf(`<path class="%s" d="M0 5L26 5"/>`, e.class)
}

// Distances in a picture that is a file.
const (
	fileMargin     = 16
	fileLine       = 20
	letterWidth    = 7 // of text of 12 px: an estimate that is wide enough for most
	smallestLetter = 6
)

// document returns the picture as a file of its own: with its title, its legend and lines of text below. It has a
// background of its own, so that it can be read whichever colour the page around it has.
func (p *picture) document(below ...string) string {
	var b strings.Builder
	y := fileMargin + 14
	fmt.Fprintf(&b, `<text class="title" x="%d" y="%d">%s</text>`+"\n", fileMargin, y, html.EscapeString(p.Title))
	text := func(line string) {
		y += fileLine
		fmt.Fprintf(&b, `<text x="%d" y="%d">%s</text>`+"\n", fileMargin, y, html.EscapeString(line))
	}
	wrapped := func(line string) {
		for part := range strings.SplitSeq(wrap(line, p.width/smallestLetter, ""), "\n") {
			text(part)
		}
	}
	wrapped(p.Note)
	y += fileLine / 2
	fmt.Fprintf(&b, `<g transform="translate(%d %d)">%s</g>`+"\n", fileMargin, y, p.body)
	y += p.height + fileLine/2
	x := fileMargin
	for _, e := range p.Legend {
		width := sampleWidth + 6 + letterWidth*len([]rune(e.Name)) + 12
		if x > fileMargin && x+width > p.width+fileMargin {
			x, y = fileMargin, y+fileLine
		}
		fmt.Fprintf(&b, `<g transform="translate(%d %d)">%s<text class="name" x="%d" y="9">%s</text></g>`+"\n",
			x, y, e.sample(), sampleWidth+6, html.EscapeString(e.Name))
		x += width
	}
	if len(p.Legend) > 0 {
		y += fileLine
	}
	for _, line := range below {
		wrapped(line)
	}
	width, height := p.width+2*fileMargin, y+fileMargin
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="%s">
<style>
%s</style>
<rect class="page" width="%d" height="%d" rx="8"/>
%s</svg>
`, width, height, width, height, html.EscapeString(p.Title), pictureStyle, width, height, &b)
}
