package main_test

import (
	"bufio"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/leak"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/shm"
)

func TestMain(m *testing.M) { os.Exit(leak.Check(m)) }

func needPython(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("needs python3")
	}
}

// A python is a running Python program.
type python struct {
	*exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// startPython starts a Python program. The program can use the variable name, and the functions say, which prints
// a line, and hear, which reads one.
func startPython(t *testing.T, name, program string) *python {
	t.Helper()
	const prelude = `
import sys
from multiprocessing import shared_memory
import mpshm
name = sys.argv[1]
def say(*what): print(*what, flush=True)
def hear(): return sys.stdin.readline()
`
	p := &python{Cmd: exec.CommandContext(Within(t), "python3", "-B", "-c", prelude+program, name)}
	var complaints strings.Builder
	p.Stderr = &complaints
	t.Cleanup(func() { Want(t, "Python's complaints", complaints.String(), "") })
	p.in = Must(p.StdinPipe())(t)
	p.out = bufio.NewReader(Must(p.StdoutPipe())(t))
	WantNil(t, "start Python", p.Start())
	t.Cleanup(func() { p.Process.Kill(); p.Wait() })
	return p
}

// says reads the next line that the program prints, and checks that it is want.
func (p *python) says(t *testing.T, want string) {
	t.Helper()
	line, err := p.out.ReadString('\n')
	if err != nil || strings.TrimSpace(line) != want {
		t.Fatalf("Python said %q, %v; want %q", line, err, want)
	}
}

// ends closes the program's input and waits until the program has ended. It must print nothing more.
func (p *python) ends(t *testing.T) {
	t.Helper()
	p.in.Close()
	rest, _ := io.ReadAll(p.out)
	Want(t, "the rest of what Python says", string(rest), "")
	WantNil(t, "Python", p.Wait())
}

// name returns a unique name for a block. The block of that name is removed after the test.
func name(t *testing.T) string {
	n := leak.Name("python")
	t.Cleanup(func() { shm.Unlink(n) })
	return n
}

func wantByte(t *testing.T, b *shm.Block, i int, want byte) {
	t.Helper()
	Want(t, "byte", Must(b.Bytes())(t)[i], want)
}

func TestBlocks(t *testing.T) {
	needPython(t)
	t.Run("M01_M09_M11_python_opens_ours", func(t *testing.T) {
		name := name(t)
		b := Closing(t, Must(shm.CreateBlock(name, 100))(t))
		Must(b.Bytes())(t)[0] = 42
		p := startPython(t, name, `
block = mpshm.attach(name)
say(block.size, block.buf[0])
block.buf[1] = 43
say("written")
hear()
say(block.buf[2])
block.close()
`)
		p.says(t, "100 42")
		p.says(t, "written")
		wantByte(t, b, 1, 43)
		Must(b.Bytes())(t)[2] = 44
		if _, err := io.WriteString(p.in, "\n"); err != nil {
			t.Fatal(err)
		}
		p.says(t, "44")
		p.ends(t)
		again := Closing(t, Must(shm.OpenBlock(name))(t)) // Python's exit has not removed it
		wantByte(t, again, 1, 43)
		wantByte(t, b, 1, 43)
	})
	t.Run("M01_M09_M11_we_open_pythons", func(t *testing.T) {
		name := name(t)
		p := startPython(t, name, `
block = mpshm.attach(name, create=True, size=100)
block.buf[0] = 42
say("made")
hear()
say(block.buf[1])
hear()
again = mpshm.attach(name)
say(again.buf[1])
again.close()
block.close()
`)
		p.says(t, "made")
		b := Must(shm.OpenBlock(name))(t)
		Want(t, "Size", b.Size(), 100)
		wantByte(t, b, 0, 42)
		Must(b.Bytes())(t)[1] = 43
		WantNil(t, "Close", b.Close())
		if _, err := io.WriteString(p.in, "\n"); err != nil {
			t.Fatal(err)
		}
		p.says(t, "43")
		if _, err := io.WriteString(p.in, "\n"); err != nil {
			t.Fatal(err)
		}
		p.says(t, "43") // our Close has not removed it
		p.ends(t)
		wantByte(t, Closing(t, Must(shm.OpenBlock(name))(t)), 1, 43) // nor has Python's exit
	})
	t.Run("M03_names", func(t *testing.T) {
		name := name(t)
		b := Must(shm.CreateBlock(name, 100))(t)
		const tries = `
def attempt(**kwargs):
    try:
        mpshm.attach(name, **kwargs).close()
        say("open")
    except OSError as e:
        say(type(e).__name__)
attempt()
attempt(create=True, size=100)
`
		p := startPython(t, name, tries)
		p.says(t, "open")
		p.says(t, "FileExistsError")
		p.ends(t)
		WantNil(t, "Close", b.Close())
		WantNil(t, "Unlink", shm.Unlink(name))
		p = startPython(t, name, tries)
		p.says(t, "FileNotFoundError")
		p.says(t, "open")
		p.ends(t)
		WantError(t, "CreateBlock of Python's name", Second(shm.CreateBlock(name, 100)), fs.ErrExist)
		p = startPython(t, name, "shared_memory.SharedMemory(name).unlink()")
		p.ends(t)
		WantError(t, "OpenBlock of what Python has removed", Second(shm.OpenBlock(name)), fs.ErrNotExist)
		p = startPython(t, name, "mpshm.attach(name, create=True, size=100).close(); mpshm.unlink(name)")
		p.ends(t)
		WantError(t, "OpenBlock of what mpshm has removed", Second(shm.OpenBlock(name)), fs.ErrNotExist)
	})
	t.Run("M02_sizes", func(t *testing.T) {
		name := name(t)
		p := startPython(t, name, `
block = mpshm.attach(name, create=True, size=5000)
say("made")
hear()
block.close()
`)
		p.says(t, "made")
		b := Closing(t, Must(shm.OpenBlock(name))(t))
		Want(t, "Size", b.Size(), 5000)
		p.ends(t)
	})
}

// TestSpeedOfPython checks that speed.py prints a time for each operation.
func TestSpeedOfPython(t *testing.T) {
	needPython(t)
	python := exec.CommandContext(Within(t), "python3", "-B", "speed.py", "100")
	python.WaitDelay = time.Second // processes that it has started may hold its output open
	out := Must(python.Output())(t)
	if n := strings.Count(string(out), " ns"); n != 11 {
		t.Errorf("%d times:\n%s", n, out)
	}
}
