//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// A peer is a tool that somebody might use instead of hufu, or hufu.
//
// A command is given to sh with these variables:
//
//	SRC   what is to be moved, on this side of the link or the other
//	NAME  its last name: "big" or "tree"
//	DST   an empty folder, in which it shall appear under that name
//	WORK  where the settings of servers and clients are
//	ADDR  the server
//
// and those that its server adds, see servers.go.
type peer struct {
	name      string
	about     string
	server    string
	packages  []string // of Debian: name of the package, then a program in it
	commands  map[shape]string
	parts     int // arrives in so many parts, 0 is one
	nodes     int // of its service in the workload links, 0 if it takes no part there
	farOnly   bool
	workloads where
	// read takes what was moved in which time from the command's own words,
	// where its start and end are not to be counted. nil: nothing is special.
	read func(output []byte) (bytes int64, items int, wall time.Duration, err error)
}

// where says which workloads a peer takes part in: those with files on a disk, in S3, or both.
type where int

const (
	onDisk where = iota
	onBoth
	onS3
)

// isHufu reports whether the server of a peer is hufu's.
func (p peer) isHufu() bool { return p.server == "hufud" || p.nodes > 0 }

// takesPart reports whether a peer can do a workload.
func (p peer) takesPart(w workload) bool {
	if w.links || p.nodes > 1 {
		return w.links && p.nodes > 0 && p.commands[w.shape] != ""
	}
	return p.commands[w.shape] != "" && (!p.farOnly || w.far) && (p.workloads == onBoth || w.s3 == (p.workloads == onS3))
}

func peers() []peer {
	ssh := []string{"openssh-client", "ssh", "openssh-server", "sshd"}
	rsync := []string{"rsync", "rsync"}
	nginx := []string{"nginx", "nginx", "curl", "curl"}
	list := []peer{{
		name: "hufu", about: "hufu put and get: mutual TLS, digest at both ends, durable", server: "hufud", workloads: onBoth, nodes: 1,
		commands: map[shape]string{
			fileUp:    `exec hufu put -q "$SRC" :/in/`,
			treeUp:    `exec hufu put -q "$SRC" :/in/`,
			fileDown:  `exec hufu get -q ":/src/$NAME" "$DST/"`,
			treeDown:  `exec hufu get -q ":/src/$NAME" "$DST/"`,
			handshake: `exec handshake -seconds "$LENGTH" -address "$ADDR" -ca "$PROFILE/root.crt" -cert "$PROFILE/client.crt" -key "$PROFILE/client.key" -alpn hufu/1`,
		},
		read: readHandshake,
	}, {
		name: "hufu-x25519", about: "hufu without the hybrid key exchange, as nginx has none with OpenSSL before 3.5", server: "hufud",
		commands: map[shape]string{
			handshake: `GODEBUG=tlsmlkem=0,tlssecpmlkem=0 exec handshake -seconds "$LENGTH" -address "$ADDR" -ca "$PROFILE/root.crt" -cert "$PROFILE/client.crt" -key "$PROFILE/client.key" -alpn hufu/1`,
		},
		read: readHandshake,
	}}
	for n := 2; n <= mostLinks; n++ {
		list = append(list, peer{
			name: fmt.Sprintf("hufu-%d-nodes", n), about: fmt.Sprintf("hufu, with a service of %d nodes", n), server: fmt.Sprintf("hufud-%d", n), workloads: onS3, nodes: n,
			commands: map[shape]string{fileUp: list[0].commands[fileUp], fileDown: list[0].commands[fileDown]},
		})
	}
	for _, c := range []struct{ suffix, host, about string }{
		{"-gcm", "gcm", "aes128-gcm@openssh.com"},
		{"", "plain", "the default cipher"},
	} {
		fill := func(command string) string { return fmt.Sprintf(command, c.host) }
		list = append(list, peer{
			name: "scp" + c.suffix, about: "scp -r, " + c.about, server: "sshd", packages: ssh,
			commands: map[shape]string{
				fileUp:   fill(`exec scp -q -F "$WORK/ssh_config" "$SRC" "%s:$DST/"`),
				treeUp:   fill(`exec scp -q -r -F "$WORK/ssh_config" "$SRC" "%s:$DST/"`),
				fileDown: fill(`exec scp -q -F "$WORK/ssh_config" "%s:$SRC" "$DST/"`),
				treeDown: fill(`exec scp -q -r -F "$WORK/ssh_config" "%s:$SRC" "$DST/"`),
			},
		}, peer{
			name: "sftp" + c.suffix, about: "sftp put and get, " + c.about, server: "sshd", packages: ssh,
			commands: map[shape]string{
				fileUp:   fill(`echo "put $SRC $DST/" | sftp -q -b - -F "$WORK/ssh_config" %s`),
				treeUp:   fill(`echo "put -r $SRC $DST/" | sftp -q -b - -F "$WORK/ssh_config" %s`),
				fileDown: fill(`echo "get $SRC $DST/" | sftp -q -b - -F "$WORK/ssh_config" %s`),
				treeDown: fill(`echo "get -r $SRC $DST/" | sftp -q -b - -F "$WORK/ssh_config" %s`),
			},
		}, peer{
			name: "rsync-ssh" + c.suffix, about: "rsync -a over ssh, " + c.about, server: "sshd", packages: slices.Concat(ssh, rsync),
			commands: map[shape]string{
				fileUp:   fill(`exec rsync -a -e "ssh -F $WORK/ssh_config" "$SRC" "%s:$DST/"`),
				treeUp:   fill(`exec rsync -a -e "ssh -F $WORK/ssh_config" "$SRC" "%s:$DST/"`),
				fileDown: fill(`exec rsync -a -e "ssh -F $WORK/ssh_config" "%s:$SRC" "$DST/"`),
				treeDown: fill(`exec rsync -a -e "ssh -F $WORK/ssh_config" "%s:$SRC" "$DST/"`),
			},
		}, peer{
			name: "tar-ssh" + c.suffix, about: "tar | ssh | tar, " + c.about, server: "sshd", packages: ssh,
			commands: map[shape]string{
				fileUp:   fill(`tar -C "${SRC%%/*}" -cf - "$NAME" | ssh -F "$WORK/ssh_config" %s "tar -C '$DST' -xf -"`),
				treeUp:   fill(`tar -C "${SRC%%/*}" -cf - "$NAME" | ssh -F "$WORK/ssh_config" %s "tar -C '$DST' -xf -"`),
				fileDown: fill(`ssh -F "$WORK/ssh_config" %s "tar -C '${SRC%%/*}' -cf - '$NAME'" | tar -C "$DST" -xf -`),
				treeDown: fill(`ssh -F "$WORK/ssh_config" %s "tar -C '${SRC%%/*}' -cf - '$NAME'" | tar -C "$DST" -xf -`),
			},
		})
	}
	return append(list, peer{
		name: "rsyncd", about: "rsync -a to the rsync daemon: neither authentication by certificate nor encryption", server: "rsyncd", packages: rsync,
		commands: map[shape]string{
			fileUp:   `exec rsync -a "$SRC" "$RSYNC/in/"`,
			treeUp:   `exec rsync -a "$SRC" "$RSYNC/in/"`,
			fileDown: `exec rsync -a "$RSYNC/src/$NAME" "$DST/"`,
			treeDown: `exec rsync -a "$RSYNC/src/$NAME" "$DST/"`,
		},
	}, peer{
		name: "nginx", about: "curl PUT and GET to nginx, mutual TLS 1.3, AES-128-GCM; a tree: 4 in parallel", server: "nginx", packages: nginx,
		commands: map[shape]string{
			fileUp:    `exec curl -q -K "$WORK/curlrc" -T "$SRC" "$HTTPS/in/$NAME"`,
			fileDown:  `exec curl -q -K "$WORK/curlrc" -o "$DST/$NAME" "$HTTPS/src/$NAME"`,
			treeUp:    `exec curl -q -Z --parallel-max 4 -K "$WORK/curlrc" -K "$WORK/curl-up"`,
			treeDown:  `exec curl -q -Z --parallel-max 4 --create-dirs -K "$WORK/curlrc" -K "$WORK/curl-down"`,
			handshake: `exec handshake -seconds "$LENGTH" -address "$ADDR" -ca "$WORK/ca.pem" -cert "$WORK/client.pem" -key "$WORK/client.key"`,
		},
		read: readHandshake,
	}, peer{
		name: "nginx4", about: "four curls at once, each a quarter of the file; nobody joins the parts", server: "nginx", packages: nginx, parts: 4,
		commands: map[shape]string{
			fileUp: `pids=
for i in 0 1 2 3; do curl -q -K "$WORK/curlrc" -T "$SRC.$i" "$HTTPS/in/$NAME.$i" & pids="$pids $!"; done
for p in $pids; do wait "$p" || exit 1; done`,
			fileDown: `pids= i=0
for r in $RANGES; do curl -q -K "$WORK/curlrc" -r "$r" -o "$DST/$NAME.$i" "$HTTPS/src/$NAME" & pids="$pids $!"; i=$((i + 1)); done
for p in $pids; do wait "$p" || exit 1; done`,
		},
	}, peer{
		name: "rclone", about: "rclone copy by sftp, 8 transfers, with its check by md5sum afterwards", server: "sshd", packages: slices.Concat(ssh, []string{"rclone", "rclone"}),
		commands: map[shape]string{
			fileUp:   `exec rclone copyto --config "" "$SRC" "$RCLONE$DST/$NAME"`,
			treeUp:   `exec rclone copy --config "" --transfers 8 "$SRC" "$RCLONE$DST/$NAME"`,
			fileDown: `exec rclone copyto --config "" "$RCLONE$SRC" "$DST/$NAME"`,
			treeDown: `exec rclone copy --config "" --transfers 8 "$RCLONE$SRC" "$DST/$NAME"`,
		},
	}, peer{
		name: "iperf3", about: "four streams that carry nothing: what TCP reaches on the link", server: "iperf3", packages: []string{"iperf3", "iperf3"}, farOnly: true,
		commands: map[shape]string{
			fileUp:   `exec iperf3 -J -P 4 -t "$LENGTH" -c "$HOST" -p "$PORT"`,
			fileDown: `exec iperf3 -J -P 4 -t "$LENGTH" -R -c "$HOST" -p "$PORT"`,
		},
		read: readIperf,
	}, peer{
		name: "hufu-64", about: "32 hufu commands at once, 64 lanes in all, each moves a part: for the memory of the node", server: "hufud", workloads: onS3, parts: atOnce,
		commands: map[shape]string{
			fileUp: `pids= i=0
while [ $i -lt $ATONCE ]; do hufu put -q "$LANES/$i" :/in/ & pids="$pids $!"; i=$((i + 1)); done
for p in $pids; do wait "$p" || exit 1; done`,
			fileDown: `pids= i=0
while [ $i -lt $ATONCE ]; do hufu get -q ":/src/lanes/$i" "$DST/$NAME.$i" & pids="$pids $!"; i=$((i + 1)); done
for p in $pids; do wait "$p" || exit 1; done`,
		},
	}, peer{
		name: "sftpgo", about: "SFTPGo with its S3 backend; a file by sftp, a tree by rclone with 8 transfers", server: "sftpgo", workloads: onS3,
		packages: []string{"openssh-client", "sftp", "sftpgo", "sftpgo", "rclone", "rclone"},
		commands: map[shape]string{
			fileUp:   `echo "put $SRC /in/" | sftp -q -b - -F "$WORK/sftpgo_ssh" sftpgo`,
			fileDown: `echo "get /src/$NAME $DST/" | sftp -q -b - -F "$WORK/sftpgo_ssh" sftpgo`,
			treeUp:   `exec rclone copy --config "" --transfers 8 "$SRC" "$RSFTP/in/$NAME"`,
			treeDown: `exec rclone copy --config "" --transfers 8 "$RSFTP/src/$NAME" "$DST/$NAME"`,
		},
	}, peer{
		// The server remembers its listings: it still shows the file of the run before, which was removed in the store.
		name: "rclone-webdav", about: "rclone copy, 8 transfers, to rclone serve webdav on the store, mutual TLS", server: "rclone-webdav", workloads: onS3, packages: []string{"rclone", "rclone"},
		commands: rcloneTo(`--ignore-times --ca-cert "$WORK/ca.pem" --client-cert "$WORK/client.pem" --client-key "$WORK/client.key" `, "$DAV"),
	}, peer{
		name: "rclone-s3", about: "rclone copy, 8 transfers, straight to the store, which is the server in the table", server: "s3", workloads: onS3, packages: []string{"rclone", "rclone"},
		commands: rcloneTo("", "$S3"),
	})
}

// rcloneTo are the commands by which rclone moves to and from a remote.
func rcloneTo(options, remote string) map[shape]string {
	return map[shape]string{
		fileUp:   `exec rclone copyto --config "" ` + options + `"$SRC" "` + remote + `/in/$NAME"`,
		treeUp:   `exec rclone copy --config "" --transfers 8 ` + options + `"$SRC" "` + remote + `/in/$NAME"`,
		fileDown: `exec rclone copyto --config "" ` + options + `"` + remote + `/src/$NAME" "$DST/$NAME"`,
		treeDown: `exec rclone copy --config "" --transfers 8 ` + options + `"` + remote + `/src/$NAME" "$DST/$NAME"`,
	}
}

// missing are the Debian packages that the chosen peers need and that are not
// there.
func (s *settings) missing() []string {
	need := []string{"iproute2", "ip", "util-linux", "nsenter"}
	var list []string
	for _, w := range s.workloads {
		for _, p := range s.peersOf(w) {
			need = append(need, p.packages...)
		}
		if w.s3 {
			need = append(need, "versitygw", "versitygw")
		}
		if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin"); w.s3 && len(found) == 0 && !slices.Contains(list, "postgresql") {
			list = append(list, "postgresql")
		}
	}
	for i := 0; i < len(need); i += 2 {
		if _, err := exec.LookPath(need[i+1]); err != nil && !slices.Contains(list, need[i]) {
			list = append(list, need[i])
		}
	}
	return list
}

// readHandshake leaves a transfer alone: it says nothing.
func readHandshake(output []byte) (bytes int64, items int, wall time.Duration, err error) {
	if len(output) == 0 {
		return 0, 0, 0, nil
	}
	var seconds float64
	if _, err := fmt.Sscanf(string(output), "%d connections in %f s", &items, &seconds); err != nil {
		return 0, 0, 0, fmt.Errorf("cannot read what handshake says: %q", output)
	}
	return 0, items, time.Duration(seconds * float64(time.Second)), nil
}

func readIperf(output []byte) (bytes int64, items int, wall time.Duration, err error) {
	var said struct {
		End struct {
			Received struct {
				Bytes   int64
				Seconds float64
			} `json:"sum_received"`
		}
		Error string
	}
	if err := json.Unmarshal(output, &said); err != nil {
		return 0, 0, 0, fmt.Errorf("cannot read what iperf3 says: %w", err)
	}
	if said.Error != "" || said.End.Received.Seconds == 0 {
		return 0, 0, 0, fmt.Errorf("iperf3: %s", said.Error)
	}
	return said.End.Received.Bytes, 1, time.Duration(said.End.Received.Seconds * float64(time.Second)), nil
}
