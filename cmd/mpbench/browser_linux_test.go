package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/bench"
)

// needChromium is an environment variable: if it is set, a missing Chromium is a failure.
const needChromium = "MP_NEED_CHROMIUM"

// screenshots is an environment variable: a directory in which the tests leave what they have seen.
const screenshots = "MP_SCREENSHOTS"

// TestBrowser opens the page and the pictures in Chromium, light, dark and as printed: nothing is said on the console, nothing
// but the file is fetched, nothing is blank, and no text of a picture reaches out of it.
func TestBrowser(t *testing.T) {
	b := startBrowser(t)
	dir := t.TempDir()
	report := bench.NewReport(exampleCells(100, 400, 110, 390, 105))
	page := filepath.Join(dir, "page.html")
	var text bytes.Buffer
	if err := errors.Join(writePage(&text, report), os.WriteFile(page, text.Bytes(), 0o644), writePictures(dir, report)); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.svg"))
	if err != nil || len(files) == 0 {
		t.Fatalf("pictures: %q, %v", files, err)
	}
	for _, path := range append(files, page) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			b.open(t, path)
			for _, look := range []struct {
				media, scheme string
				dark          bool
			}{{"screen", "light", false}, {"screen", "dark", true}, {"print", "light", false}, {"print", "dark", false}} {
				b.look(t, look.media, look.scheme, look.dark)
			}
			b.quiet(t, path)
		})
	}
}

// A browser is Chromium, driven by messages in JSON that end with a zero byte.
type browser struct {
	ctx     context.Context
	to      io.Writer
	events  chan browserEvent // closed when the browser has ended
	session string
	last    int            // number of the last message
	seen    []browserEvent // since the page was opened
}

// A browserEvent is an event, or the answer to a message.
type browserEvent struct {
	ID     int
	Method string
	Params json.RawMessage
	Result json.RawMessage
	Error  json.RawMessage
}

// startBrowser starts Chromium, which ends with the test, or skips the test if there is none.
func startBrowser(t *testing.T) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv(needChromium) != "" {
			t.Fatal(err)
		}
		t.Skipf("needs Chromium: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute) // the test's own ends before the cleanup
	t.Cleanup(cancel)
	fromTest, toBrowser, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	toTest, fromBrowser, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(ctx, path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--remote-debugging-pipe", "--user-data-dir="+t.TempDir(), "--window-size=1400,1000", "--hide-scrollbars", "about:blank")
	c.ExtraFiles = []*os.File{fromTest, fromBrowser} // the browser's files 3 and 4
	var diag bytes.Buffer
	c.Stderr = &diag
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	if err := errors.Join(c.Start(), fromTest.Close(), fromBrowser.Close()); err != nil {
		t.Fatal(err)
	}
	b := &browser{ctx: ctx, to: toBrowser, events: make(chan browserEvent, 4096)}
	go b.read(toTest)
	t.Cleanup(func() {
		_ = b.send("Browser.close", nil) // it may have ended
		for range b.events {             // until it has ended
		}
		if err := c.Wait(); err != nil {
			t.Errorf("chromium: %v\n%s", err, &diag)
		}
		_ = c.Cancel() // what it may have left
		toBrowser.Close()
		toTest.Close()
	})
	var targets struct {
		TargetInfos []struct{ TargetID, Type string }
	}
	b.call(t, "Target.getTargets", nil, &targets)
	for _, target := range targets.TargetInfos {
		if target.Type == "page" {
			var attached struct{ SessionID string }
			b.call(t, "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
			b.session = attached.SessionID
		}
	}
	if b.session == "" {
		t.Fatalf("no page among %+v", targets)
	}
	for _, domain := range []string{"Page", "Network", "Log", "Runtime"} {
		b.call(t, domain+".enable", nil, nil)
	}
	return b
}

// read reads events until the browser ends.
func (b *browser) read(from io.Reader) {
	defer close(b.events)
	d := json.NewDecoder(&zeroToSpace{from})
	for {
		var e browserEvent
		if d.Decode(&e) != nil {
			return
		}
		b.events <- e
	}
}

// zeroToSpace replaces the zero bytes after messages by white space, which JSON allows between values.
type zeroToSpace struct{ from io.Reader }

func (z *zeroToSpace) Read(to []byte) (int, error) {
	n, err := z.from.Read(to)
	copy(to, bytes.ReplaceAll(to[:n], []byte{0}, []byte{' '}))
	return n, err
}

func (b *browser) send(method string, params any) error {
	b.last++
	message := map[string]any{"id": b.last, "method": method}
	if params != nil {
		message["params"] = params
	}
	if b.session != "" && method != "Browser.close" {
		message["sessionId"] = b.session
	}
	data, err := json.Marshal(message)
	if err == nil {
		_, err = b.to.Write(append(data, 0))
	}
	return err
}

// call sends a message and decodes the answer.
func (b *browser) call(t *testing.T, method string, params, result any) {
	t.Helper()
	if err := b.send(method, params); err != nil {
		t.Fatalf("%s: %v", method, err)
	}
	id := b.last
	e := b.await(t, method, func(e browserEvent) bool { return e.ID == id })
	if e.Error != nil {
		t.Fatalf("%s: %s", method, e.Error)
	}
	if result != nil {
		if err := json.Unmarshal(e.Result, result); err != nil {
			t.Fatalf("%s: %v in %s", method, err, e.Result)
		}
	}
}

// await returns the next event that is wanted, and keeps all others.
func (b *browser) await(t *testing.T, what string, wanted func(browserEvent) bool) browserEvent {
	t.Helper()
	for {
		select {
		case e, ok := <-b.events:
			if !ok {
				t.Fatalf("%s: the browser has ended", what)
			}
			if wanted(e) {
				return e
			}
			b.seen = append(b.seen, e)
		case <-b.ctx.Done():
			t.Fatalf("%s: no answer within two minutes", what)
		}
	}
}

// open opens a file, and waits until it is loaded.
func (b *browser) open(t *testing.T, path string) {
	t.Helper()
	b.seen = nil
	b.call(t, "Page.navigate", map[string]any{"url": fileURL(path)}, nil)
	loaded := func(e browserEvent) bool { return e.Method == "Page.loadEventFired" }
	for _, e := range b.seen {
		if loaded(e) {
			return
		}
	}
	b.await(t, "loading "+path, loaded)
}

func fileURL(path string) string { return (&url.URL{Scheme: "file", Path: path}).String() }

// look takes a screenshot and examines it.
func (b *browser) look(t *testing.T, media, scheme string, dark bool) {
	t.Helper()
	b.call(t, "Emulation.setEmulatedMedia", map[string]any{
		"media": media, "features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}},
	}, nil)
	var shot struct{ Data []byte }
	b.call(t, "Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": true}, &shot)
	name := fmt.Sprintf("%s, %s, %s", filepath.Base(t.Name()), media, scheme)
	if dir := os.Getenv(screenshots); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, name+".png"), shot.Data, 0o644); err != nil {
			t.Error(err)
		}
	}
	picture, err := png.Decode(bytes.NewReader(shot.Data))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if problem := blank(picture, dark); problem != "" {
		t.Errorf("%s: %s", name, problem)
	}
	var outside struct{ Result struct{ Value string } }
	b.call(t, "Runtime.evaluate", map[string]any{"expression": outsideScript, "returnByValue": true}, &outside)
	if outside.Result.Value != "" {
		t.Errorf("%s: out of its picture or of the page: %s", name, outside.Result.Value)
	}
}

// blankStep is the distance between the points of a screenshot that are examined.
const blankStep = 3

// blank says what is wrong with a screenshot: its background has the wrong brightness, or nearly all of it is background.
func blank(m image.Image, dark bool) string {
	r := m.Bounds()
	background := m.At(r.Min.X+r.Dx()/2, r.Min.Y+3)
	colours := make(map[[3]uint32]bool)
	other, all := 0, 0
	for y := r.Min.Y; y < r.Max.Y; y += blankStep {
		for x := r.Min.X; x < r.Max.X; x += blankStep {
			red, green, blue, _ := m.At(x, y).RGBA()
			colours[[3]uint32{red, green, blue}] = true
			all++
			if m.At(x, y) != background {
				other++
			}
		}
	}
	red, green, blue, _ := background.RGBA()
	if light := (red+green+blue)/3 > 0x8000; light == dark {
		return fmt.Sprintf("the background is %v", background)
	}
	if other*200 < all || len(colours) < 20 {
		return fmt.Sprintf("%d of %d points are not background, in %d colours", other, all, len(colours))
	}
	return ""
}

// outsideScript names texts that reach out of their picture, or says that the page is wider than the window.
const outsideScript = `(() => {
	for (const svg of document.querySelectorAll("svg")) {
		const box = svg.getBoundingClientRect()
		for (const text of svg.querySelectorAll("text")) {
			const r = text.getBoundingClientRect()
			if (r.left < box.left - 1 || r.right > box.right + 1 || r.top < box.top - 1 || r.bottom > box.bottom + 1)
				return text.textContent
		}
	}
	const root = document.documentElement
	return root.tagName == "HTML" && root.scrollWidth > innerWidth ? "a page of " + root.scrollWidth + " points" : ""
})()`

// quiet fails if the browser said something about the page, or fetched anything but the file.
func (b *browser) quiet(t *testing.T, path string) {
	t.Helper()
	fetched := 0
	for _, e := range b.seen {
		switch e.Method {
		case "Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown":
			t.Errorf("%s: %s", e.Method, e.Params)
		case "Network.requestWillBeSent":
			var p struct{ Request struct{ URL string } }
			if err := json.Unmarshal(e.Params, &p); err != nil {
				t.Fatal(err)
			}
			if fetched++; p.Request.URL != fileURL(path) {
				t.Errorf("fetched %s", p.Request.URL)
			}
		}
	}
	if fetched != 1 {
		t.Errorf("%d files were fetched, want 1", fetched)
	}
}
