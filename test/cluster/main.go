//go:build e2e && linux

// Command cluster runs three servers of one installation on this computer, with a PostgreSQL and an
// S3 service of their own, and two users to try them with. When it ends, all of that is gone.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"hufu/test/built"
	"hufu/test/nodes"
)

func main() {
	bin := flag.String("bin", "bin", "folder of hufu and hufud")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *bin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1) //nolint:gocritic // stop only gives the signal back
	}
}

// cluster is what runs.
type cluster struct {
	bin, dir string
	engines  *nodes.Engines
	place    nodes.Place
	nodes    []*built.Server
	ends     []func() // newest last
}

// run starts everything, says how to use it, and waits for the end of ctx.
func run(ctx context.Context, bin string, out io.Writer) (err error) {
	bin, err = filepath.Abs(bin)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "hufu-cluster-")
	if err != nil {
		return err
	}
	c := &cluster{bin: bin, dir: dir}
	defer c.end()
	c.ends = append(c.ends, func() { _ = os.RemoveAll(dir) })
	for _, s := range []struct {
		what string
		do   func() error
	}{
		{"PostgreSQL, and versitygw, an S3 service (built the first time)", c.startEngines},
		{"three servers", c.startNodes},
		{"two users", c.enroll},
	} {
		fmt.Fprintf(out, "Starting %s …\n", s.what)
		if err := s.do(); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was asked to end
		}
	}
	c.explain(out)
	<-ctx.Done()
	fmt.Fprintln(out, "Stopping.")
	return nil
}

func (c *cluster) end() {
	for i := len(c.ends) - 1; i >= 0; i-- {
		c.ends[i]()
	}
}

func (c *cluster) startEngines() (err error) {
	if c.engines, err = nodes.Start(); err != nil {
		return err
	}
	c.ends = append(c.ends, c.engines.Stop)
	c.place, err = c.engines.Place(context.Background())
	return err
}

func (c *cluster) startNodes() (err error) {
	config := c.engines.Config(c.place, c.engines.Database.Address, c.engines.Store.Address, "")
	if c.nodes, err = nodes.Make(c.bin, filepath.Join(c.dir, "data"), config, 3); err != nil {
		return err
	}
	for _, node := range c.nodes {
		if err := node.Start(); err != nil {
			return err
		}
		c.ends = append(c.ends, func() { _, _ = node.Stop() })
	}
	return nil
}

// enroll lets alice in at the first node and bob at the second, and makes a script for each of them
// and for each node.
func (c *cluster) enroll() error {
	for i, user := range []string{"alice", "bob"} {
		p, err := c.nodes[i].Enroll(filepath.Join(c.dir, "home-"+user), user, c.nodes[i].Address)
		if err != nil {
			return err
		}
		if err := c.script(user, "hufu", built.Environ(p.Home)); err != nil {
			return err
		}
	}
	for i, node := range c.nodes {
		if err := c.script(fmt.Sprintf("node%d", i+1), "hufud", built.Environ(c.dir), "--data", node.Data); err != nil {
			return err
		}
	}
	return nil
}

// script makes a program that runs hufu or hufud in an environment of its own.
func (c *cluster) script(name, program string, env []string, args ...string) error {
	words := append([]string{"exec", "env", "-i"}, env...)
	words = append(append(words, filepath.Join(c.bin, program)), args...)
	for i, w := range words {
		words[i] = quote(w)
	}
	return os.WriteFile(filepath.Join(c.dir, name), []byte("#!/bin/sh\n"+strings.Join(words, " ")+` "$@"`+"\n"), 0o700)
}

// quote returns s as one word of a shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func (c *cluster) explain(out io.Writer) {
	at := func(name string) string { return filepath.Join(c.dir, name) }
	fmt.Fprintf(out, `
Three servers are one service. alice is enrolled at node 1, bob at node 2:

  %[1]s put README.md :/@shared/common/
  %[2]s ls -l :/@shared/common
  %[2]s get :/@shared/common/README.md /tmp/from-alice.md

Look at them, and lock alice at node 3. Node 1 refuses her at once ("user unlock alice" lets her in again):

  %[4]s status
  %[4]s cert list
  %[4]s user lock alice
  %[1]s ls :/

Kill node 2, and start it again in a second terminal. Its clients wait, and continue when it is back:

  kill -9 %[5]d
  %[3]s serve --listen %[6]s

What they share:

  psql %[7]s
  S3 at %[8]s, access key %[9]s, secret key %[10]s

Ctrl-C here stops everything that this program has started and removes %[11]s. Stop a node that you have
started yourself first.
`, at("alice"), at("bob"), at("node2"), at("node3"), c.nodes[1].Pid(), c.nodes[1].Address,
		quote(c.engines.Database.URL(c.engines.Database.Address, c.place.Database)), c.place.Bucket.Endpoint, c.place.Bucket.AccessKey, c.place.Bucket.SecretKey, c.dir)
}
