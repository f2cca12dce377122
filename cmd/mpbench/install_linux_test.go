package main

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// installed is the module, and the version under which a test offers it.
const installed, version = "github.com/seed-2e7ecdea/mp", "v0.0.1"

// TestInstall installs mpbench by go install, from a module proxy in a directory that offers this source tree. The modules
// that it requires come from the cache. What has been installed runs.
func TestInstall(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles everything anew")
	}
	dir := t.TempDir()
	offer(t, filepath.Join(dir, "proxy", installed, "@v"))
	cache, err := exec.CommandContext(t.Context(), "go", "env", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, "go", "install", "-modcacherw", installed+"/cmd/mpbench@latest")
	c.Dir = dir
	c.Env = append(os.Environ(), "GOFLAGS=", "GOSUMDB=off", "GOWORK=off", "GOBIN="+dir, "GOMODCACHE="+filepath.Join(dir, "cache"),
		"GOPROXY=file://"+filepath.Join(dir, "proxy")+",file://"+strings.TrimSpace(string(cache))+"/cache/download")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", c, err, out)
	}
	m := exec.CommandContext(ctx, filepath.Join(dir, "mpbench"), brief...)
	if out, err := m.CombinedOutput(); err != nil || !strings.Contains(string(out), " queue ") {
		t.Errorf("%s: %v\n%s", m, err, out)
	}
}

// offer writes what a module proxy serves for the module of this source tree.
func offer(t *testing.T, dir string) {
	t.Helper()
	root := filepath.Join("..", "..")
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	err = os.MkdirAll(dir, 0o755)
	for name, text := range map[string]string{
		"list": version + "\n", version + ".mod": string(mod),
		version + ".info": fmt.Sprintf(`{"Version":%q,"Time":%q}`, version, "2026-01-01T00:00:00Z"),
	} {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, version+".zip"))
	if err != nil {
		t.Fatal(err)
	}
	w := zip.NewWriter(f)
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if _, err := os.Stat(filepath.Join(path, "go.mod")); name != "." && (err == nil || strings.HasPrefix(d.Name(), ".")) {
				return fs.SkipDir // another module, or no part of one
			}
			return nil
		}
		if !d.Type().IsRegular() || strings.HasPrefix(name, ".") {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		to, err := w.Create(installed + "@" + version + "/" + filepath.ToSlash(name))
		if err != nil {
			return err
		}
		_, err = to.Write(data)
		return err
	})
	if err := errors.Join(err, w.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
}
