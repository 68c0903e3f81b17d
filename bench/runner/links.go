//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// The workload links has a hufu service of one node, one of two and one of three, each with a database
// and a bucket of its own. Clients are in another network namespace and reach the first node of each
// service over the first link, the second one over the second link, and so on:
//
//	client  10.99.0.2 ── link ── 10.99.0.1  first nodes ┐
//	        10.99.1.2 ── link ── 10.99.1.1  second ─────┼─ 127.0.0.1  PostgreSQL, versitygw
//	        10.99.2.2 ── link ── 10.99.2.1  third ──────┘
//
// What is not measured runs at the side of the nodes, which no link slows down.
const mostLinks = 3

// nodesOf returns how many nodes the service of this name has.
func nodesOf(service string) int {
	_, number, _ := strings.Cut(service, "-")
	n, err := strconv.Atoi(number)
	if err != nil {
		return 1
	}
	return n
}

// bucketOf returns the name of its bucket.
func bucketOf(service string) string {
	return strings.Replace(service, "hufud", ourBucket, 1)
}

// nodeAddress is where the node with this number listens, 0 being the first one.
func nodeAddress(number int) string { return fmt.Sprintf("10.99.%d.1", number) }

// startLinks puts a link between the clients and each of the nodes.
func (p *place) startLinks() error {
	namespace, err := p.startLink("-rtt", p.s.linkRTT.String(), "-mbit", strconv.Itoa(p.s.linkMbit), "-near", nodeAddress(0), "-far", "10.99.0.2", "-links", strconv.Itoa(mostLinks))
	p.clientPrefix = []string{"nsenter", "--net=" + namespace}
	return err
}

// host is the address at which a server is reached.
func (p *place) host(server string) string {
	if p.w.links && strings.HasPrefix(server, "hufud") {
		return nodeAddress(0)
	}
	return p.address
}

// home is the HOME of the commands of a server's peers.
func (p *place) home(server string) string {
	if p.w.links {
		return p.work + "/home-" + server
	}
	return p.work + "/home"
}

// nodeFolder is the data folder of a node.
func (p *place) nodeFolder(service string, number int) string {
	return fmt.Sprintf("%s/%s-node%d", p.root, service, number)
}

// serve is the command line of a node.
func (p *place) serve(service string, number int, port string) []string {
	at := net.JoinHostPort(nodeAddress(number), port)
	return []string{"hufud", "--data", p.nodeFolder(service, number), "serve", "--listen", at, "--advertise", at, "--log-file", fmt.Sprintf("%s/%s-%d.log", p.work, service, number)}
}

// configureService makes the first node of a service.
func (p *place) configureService(ctx context.Context, service, port string) (argv, env []string, err error) {
	database := "postgres"
	if n := nodesOf(service); n > 1 {
		database = fmt.Sprint("nodes", n)
		if err := p.createDatabase(ctx, database); err != nil {
			return nil, nil, err
		}
	}
	err = errors.Join(
		os.MkdirAll(p.home(service), 0o700),
		p.write("password", randomPassword()+"\n"),
		p.write(service+".toml", p.configuration(database, bucketOf(service))))
	if err == nil {
		err = p.do(ctx, "hufud", "--data", p.nodeFolder(service, 0), "init", "--name", nodeAddress(0), "--no-passphrase", "--config", p.work+"/"+service+".toml")
	}
	return p.serve(service, 0, port), []string{"HOME=" + p.home(service)}, err
}

// createDatabase makes a further database.
func (p *place) createDatabase(ctx context.Context, name string) error {
	bin, err := filepath.Glob("/usr/lib/postgresql/*/bin/createdb")
	if err != nil || len(bin) == 0 {
		return errors.New("createdb of PostgreSQL is not installed")
	}
	host, port, err := net.SplitHostPort(p.servers["postgres"].address())
	if err != nil {
		return err
	}
	return p.do(ctx, "env", "PGPASSWORD="+p.dbPassword, bin[len(bin)-1], "-h", host, "-p", port, "-U", "hufu", name)
}

// completeService starts the other nodes of a service, enrolls a client at the first one, and waits until
// that is told of all.
func (p *place) completeService(ctx context.Context, who peer, s *server) error {
	_, port, err := net.SplitHostPort(s.address())
	if err != nil {
		return err
	}
	first := p.nodeFolder(who.server, 0)
	for i := 1; i < who.nodes; i++ {
		if err := joinNode(first, p.nodeFolder(who.server, i)); err != nil {
			return err
		}
		cmd, err := p.listen(s.side, fmt.Sprint(who.server, "-", i), net.JoinHostPort(nodeAddress(i), port), p.serve(who.server, i, port))
		if err != nil {
			return err
		}
		s.more = append(s.more, cmd)
	}
	const enroll = `code=$(hufud --data "$1" invite --address "$2" bench) && HOME=$4 exec hufu enroll "$code" --password-file "$3"`
	if err := p.do(ctx, "sh", "-c", enroll, "enroll", first, s.address(), p.work+"/password", p.home(who.server)); err != nil {
		return err
	}
	for range 100 {
		if err := p.hufu(ctx, who, "ls", ":/"); err != nil {
			return err
		}
		if p.othersKnown(who.server) == who.nodes-1 {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return errors.New("the nodes do not come to know one another")
}

// othersKnown returns how many further nodes the client of a service was told of.
func (p *place) othersKnown(service string) int {
	all, _ := filepath.Glob(p.home(service) + "/.local/state/hufu/*/*/nodes.json")
	known := 0
	for _, file := range all {
		var list []string
		if text, err := os.ReadFile(file); err == nil && json.Unmarshal(text, &list) == nil {
			known = max(known, len(list))
		}
	}
	return known
}

// joinNode makes the data folder of a further node: the configuration and the CA of the first one, without
// its root key.
func joinNode(first, data string) error {
	if err := os.MkdirAll(data+"/ca", 0o700); err != nil {
		return err
	}
	files, err := os.ReadDir(first + "/ca")
	if err != nil {
		return err
	}
	names := []string{"hufud.toml"}
	for _, f := range files {
		if f.Name() != "root.key" {
			names = append(names, "ca/"+f.Name())
		}
	}
	for _, name := range names {
		content, err := os.ReadFile(first + "/" + name)
		if err := errors.Join(err, os.WriteFile(data+"/"+name, content, 0o600)); err != nil {
			return err
		}
	}
	return nil
}
