//go:build linux

package main

import (
	"fmt"
	"strconv"
	"strings"
)

// A shape is what is moved, and which way.
type shape string

const (
	fileUp    shape = "file up"
	fileDown  shape = "file down"
	treeUp    shape = "tree up"
	treeDown  shape = "tree down"
	handshake shape = "handshake"
	idle      shape = "idle"
)

func (s shape) up() bool   { return s == fileUp || s == treeUp }
func (s shape) tree() bool { return s == treeUp || s == treeDown }

// A workload is one table of the report.
type workload struct {
	name  string
	about string
	shape shape
	disk  bool // on the disk, and measured until it is synced as well
	far   bool // over the far link
	again bool // all of it is there already
	links bool // over one, two and three links, a node of hufu behind each; s3 is set as well
	s3    bool // the server keeps the files in an S3 store
	usual []string
}

func workloads() []workload {
	big := []string{"hufu", "scp-gcm", "sftp-gcm", "rsync-ssh-gcm", "rsyncd", "tar-ssh-gcm", "nginx"}
	disk := []string{"hufu", "rsync-ssh-gcm", "rsyncd", "nginx"}
	small := []string{"hufu", "rsync-ssh-gcm", "rsyncd", "tar-ssh-gcm"}
	s3 := []string{"hufu", "hufu-64", "sftpgo", "rclone-webdav", "rclone-s3"}
	far := []string{"hufu", "scp-gcm", "nginx4", "iperf3"}
	links := []string{"hufu", "hufu-2-nodes", "hufu-3-nodes"}
	return []workload{
		{name: "big-up", about: "one incompressible file, from memory to memory", shape: fileUp, usual: big},
		{name: "big-down", about: "the same, fetched", shape: fileDown, usual: big},
		{name: "disk-up", about: "one incompressible file on the disk, and until it is synced", shape: fileUp, disk: true, usual: disk},
		{name: "disk-down", about: "the same, fetched", shape: fileDown, disk: true, usual: disk},
		{name: "small-up", about: "a tree of small files, 100 in a folder, from memory to memory", shape: treeUp, usual: small},
		{name: "small-down", about: "the same, fetched", shape: treeDown, usual: small},
		{name: "smalldisk-up", about: "a tree of small files on the disk, and until it is synced", shape: treeUp, disk: true, usual: small},
		{name: "smalldisk-down", about: "the same, fetched", shape: treeDown, disk: true, usual: small},
		{name: "far-up", about: "one incompressible file over the far link (--rtt, --mbit, --loss)", shape: fileUp, far: true, usual: far},
		{name: "far-down", about: "the same, fetched", shape: fileDown, far: true, usual: far},
		{name: "farsmall-up", about: "a tree of small files over the far link", shape: treeUp, far: true, usual: small},
		{name: "farsmall-down", about: "the same, fetched", shape: treeDown, far: true, usual: small},
		{name: "nodes-big-up", about: "one incompressible file (--node-size), hufu on PostgreSQL and S3, others on the same S3 store, all in memory", shape: fileUp, s3: true, usual: s3},
		{name: "nodes-big-down", about: "the same, fetched", shape: fileDown, s3: true, usual: s3},
		{name: "nodes-small-up", about: "a tree of small files, likewise", shape: treeUp, s3: true, usual: s3},
		{name: "nodes-small-down", about: "the same, fetched", shape: treeDown, s3: true, usual: s3},
		{name: "links-up", about: "one incompressible file (--link-size) over one, two and three links of --link-mbit, a node of one service behind each", shape: fileUp, s3: true, links: true, usual: links},
		{name: "links-down", about: "the same, fetched", shape: fileDown, s3: true, links: true, usual: links},
		{name: "handshake", about: "new connections with mutual TLS 1.3, 16 at a time", shape: handshake, usual: []string{"hufu", "hufu-x25519", "nginx"}},
		{name: "idle", about: "memory of the server for --connections clients that are logged in and ask for nothing, and with --active of them at work at once; of hufu alone, once", shape: idle},
		{name: "again", about: "a put of a tree that is there already, by size and time", shape: treeUp, again: true, usual: []string{"hufu", "rsync-ssh-gcm"}},
	}
}

// amount is how many bytes and files a workload moves.
func (s *settings) amount(w workload) (bytes int64, files int) {
	switch {
	case w.shape == handshake || w.shape == idle:
		return 0, 0
	case w.again:
		return int64(s.again) * int64(s.fileSize), s.again
	case w.shape.tree() && w.far:
		return int64(s.farFiles) * int64(s.fileSize), s.farFiles
	case w.shape.tree():
		return int64(s.files) * int64(s.fileSize), s.files
	case w.far:
		return int64(s.farSize), 1
	case w.links:
		return int64(s.linkSize), 1
	case w.s3:
		return int64(s.nodeSize), 1
	}
	return int64(s.size), 1
}

// maxSize is the largest size that may be given, in bytes.
const maxSize = 1 << 50

// A size is a number of bytes, in powers of 1024 on the command line.
type size int64

func (s *size) Set(text string) error {
	digits := strings.TrimRight(strings.ToUpper(text), "KMGIB")
	n, err := strconv.ParseInt(digits, 10, 40)
	if err != nil || n <= 0 {
		return fmt.Errorf("%q is no size", text)
	}
	for i, unit := range "KMG" {
		if strings.Contains(strings.ToUpper(text), string(unit)) {
			shift := 10 * (i + 1)
			if n > maxSize>>shift {
				return fmt.Errorf("%q is too large", text)
			}
			n <<= shift
			break
		}
	}
	*s = size(n)
	return nil
}

func (s *size) Type() string { return "size" }

func (s *size) String() string {
	n, unit := int64(*s), 0
	for n >= 1024 && n%1024 == 0 && unit < 3 {
		n >>= 10
		unit++
	}
	return strconv.FormatInt(n, 10) + []string{"", "K", "M", "G"}[unit]
}
