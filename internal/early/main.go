// Command early is a program for tests of what happens in a child before its main function calls Init.
//
// Usage:
//
//	early version          prints "version"
//	early MODE             starts a child in whose package initialization aaa does MODE, and prints what comes of it
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/early/aaa"
	"github.com/seed-2e7ecdea/mp/proc"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

type job struct {
	Lock *psync.Lock
	Done *psync.Event
}

// look returns what the early package has done in this process, and what its helper has got.
var look = proc.Register("look", func(ctx context.Context, j job) (string, error) {
	if aaa.Helper == 0 {
		return fmt.Sprintf("%s runs, version %q", proc.Self().Name(), aaa.Version), nil
	}
	if err := j.Lock.Acquire(ctx); err != nil {
		return "", err
	}
	dir := fmt.Sprintf("/proc/%d/", aaa.Helper)
	for !asleep(dir) { // until then it may have a library open that it loads
		if ctx.Err() != nil {
			return "", fmt.Errorf("the helper %d does not get to sleep", aaa.Helper)
		}
		time.Sleep(time.Millisecond)
	}
	files, err := os.ReadDir(dir + "fd")
	if err != nil {
		return "", err
	}
	var open []string
	for _, f := range files {
		what, err := os.Readlink(dir + "fd/" + f.Name())
		if err != nil {
			return "", err
		}
		open = append(open, f.Name()+" "+what)
	}
	env, err := os.ReadFile(dir + "environ")
	if err != nil {
		return "", err
	}
	for kv := range strings.SplitSeq(string(env), "\x00") {
		if strings.HasPrefix(kv, "MP_") {
			open = append(open, kv)
		}
	}
	// The answer goes to the standard output: the task does not end.
	fmt.Printf("helper %d has %q\n", aaa.Helper, open)
	if err := j.Done.Set(); err != nil {
		return "", err
	}
	<-ctx.Done()
	return "", nil
})

// asleep reports whether the process that /proc shows in dir is in an interruptible sleep.
func asleep(dir string) bool {
	stat, err := os.ReadFile(dir + "stat")
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(stat), ") ") // of "pid (name) state ..."
	return strings.HasPrefix(state, "S")
}

func main() {
	proc.Init()
	mode := os.Args[1]
	if mode == "version" {
		fmt.Println("version")
		return
	}
	if aaa.Mode != "" {
		log.Fatal("a child runs main") // and would start children without end
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	lock, err := psync.NewLock(nil, "", nil)
	check(err)
	done, err := psync.NewEvent(nil, "")
	check(err)
	child, err := look.Start(ctx, job{lock, done}, &proc.Options{Name: "child", Env: []string{aaa.Env + "=" + mode}})
	check(err)
	if mode != "helper" {
		result, err := child.Result(ctx)
		check(err)
		fmt.Println(result)
		return
	}
	check(done.Wait(ctx))
	check(child.Kill())
	fmt.Println("join:", child.Join(ctx))
	begin := time.Now()
	fmt.Println("acquire:", lock.Acquire(ctx))
	fmt.Println("within a second:", time.Since(begin) < time.Second)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
