//go:build e2e

package capture

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// tshark runs it on a capture, with every checksum looked at, and returns what it
// prints.
func tshark(t *testing.T, file string, args ...string) string {
	t.Helper()
	args = append([]string{
		"-n", "-r", file, "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE",
		"-o", "tls.keylog_file:", // secrets come from the file or not at all
	}, args...)
	cmd := exec.Command("tshark", args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark %q: %v\n%s", args, err, errs.String())
	}
	return string(out)
}

// wrong is everything that would look wrong to an expert.
const wrong = "_ws.malformed or tcp.analysis.flags or tcp.checksum.status == Bad or ip.checksum.status == Bad or " +
	"_ws.expert.severity >= 0x00600000 or !tcp"

func clean(t *testing.T, file string) {
	t.Helper()
	if out := tshark(t, file, "-2", "-R", wrong); out != "" {
		t.Errorf("looks wrong:\n%.3000s", out)
	}
}

func saved(t *testing.T, r *Recorder, name string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := r.Save(file); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestTsharkPlain(t *testing.T) {
	t.Parallel()
	for name, address := range map[string]string{"IPv4": "127.0.0.1:0", "IPv6": "[::1]:0", "port 9999": "127.0.0.1:9999"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			content := sampleFile(300_000)
			r := record(t, address, false, nil, content)
			file := saved(t, r, "plain.pcapng")
			clean(t, file)

			f := r.Analyse(sampleNeedles(content))
			for _, res := range f.Results {
				if len(res.Hits) == 0 {
					t.Fatalf("%s not found", res.Needle.Role)
				}
				out := tshark(t, file, "-Y", res.Needle.Filter(), "-T", "fields", "-e", "frame.number")
				if hit := res.Hits[0]; hit.Packet == hit.LastPacket && !strings.HasPrefix(out, fmt.Sprintln(hit.Packet)) {
					t.Errorf("%s: we say packet %d, tshark says %q", res.Needle.Role, hit.Packet, out)
				}
			}
			if out := tshark(t, file, "-Y", f.Filter()); strings.Count(out, "\n") != f.Packets {
				t.Errorf("filter %q shows %d of %d packets", f.Filter(), strings.Count(out, "\n"), f.Packets)
			}
			if got := followed(t, file); !bytes.HasSuffix(got, content) || !bytes.Contains(got, []byte(samplePassword)) {
				t.Errorf("followed stream has %d bytes, want the file at its end", len(got))
			}
		})
	}
}

// followed is the client's direction of stream 0.
func followed(t *testing.T, file string) []byte {
	t.Helper()
	var all []byte
	for line := range strings.SplitSeq(tshark(t, file, "-q", "-z", "follow,tcp,raw,0"), "\n") {
		if b, err := hex.DecodeString(line); err == nil {
			all = append(all, b...)
		}
	}
	return all
}

func TestTsharkTLS(t *testing.T) {
	t.Parallel()
	for name, address := range map[string]string{"IPv4": "127.0.0.1:0", "IPv6": "[::1]:0", "port 9999": "127.0.0.1:9999"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			content := sampleFile(200_000)
			r := record(t, address, true, nil, content)
			file := saved(t, r, "tls.pcapng")
			clean(t, file)
			for _, n := range sampleNeedles(content) {
				if out := tshark(t, file, "-Y", n.Filter()); out != "" && len(n.Bytes) >= certain {
					t.Errorf("%s found:\n%s", n.Role, out)
				}
			}
			out := tshark(t, file, "-Y", "tls", "-T", "fields", "-e", "tls.record.content_type", "-e", "tls.handshake.type",
				"-e", "tls.handshake.extensions.supported_version", "-e", "_ws.col.Info")
			for _, want := range []string{"Client Hello", "Server Hello", "Change Cipher Spec", "Application Data", "0x0304"} {
				if !strings.Contains(out, want) {
					t.Errorf("tshark does not name %q:\n%.2000s", want, out)
				}
			}
		})
	}
}

func TestTsharkDecrypts(t *testing.T) {
	t.Parallel()
	for name, address := range map[string]string{"any port": "127.0.0.1:0", "port 9999": "127.0.0.1:9999"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			content := sampleFile(200_000)
			r := record(t, address, true, &Secrets{}, content)
			file := saved(t, r, "tls.pcapng")
			clean(t, file)
			out := tshark(t, file, "-q", "-z", "follow,tls,raw,0")
			if !strings.Contains(out, hex.EncodeToString([]byte("password="+samplePassword))) {
				t.Errorf("not decrypted:\n%.2000s", out)
			}
			if f := r.Analyse(sampleNeedles(content)); f.Found() || !f.Secrets {
				t.Errorf("found %v, secrets %v", f.Found(), f.Secrets)
			}
		})
	}
}

// Several connections at once, and half-closed, broken and open ones.
func TestTsharkManyConnections(t *testing.T) {
	t.Parallel()
	r := NewRecorder(Options{})
	ln := listen(t, "127.0.0.1:0", echo)
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() { story(t, dial(t, ln, r), sampleFile(50_000)) })
	}
	wg.Wait()
	reset := listen(t, "127.0.0.1:0", func(c net.Conn) {
		_, _ = io.ReadFull(c, make([]byte, 5))
		_ = c.(*net.TCPConn).SetLinger(0)
	})
	c := dial(t, reset, r)
	_, _ = c.Write([]byte("hello"))
	_, _ = io.ReadAll(c)
	_ = c.Close()
	open := dial(t, ln, r)
	defer open.Close()
	_, _ = open.Write([]byte("still there"))

	file := saved(t, r, "many.pcapng")
	if out := tshark(t, file, "-2", "-R", "("+wrong+") and !(tcp.flags.reset == 1)"); out != "" {
		t.Errorf("looks wrong:\n%.3000s", out)
	}
	if out := tshark(t, file, "-Y", "tcp.flags.reset == 1"); strings.Count(out, "\n") != 1 {
		t.Errorf("resets:\n%s", out)
	}
	streams := tshark(t, file, "-T", "fields", "-e", "tcp.stream")
	if !strings.HasSuffix(streams, "6\n") {
		t.Errorf("the last stream is not the seventh: %q", streams[len(streams)-3:])
	}
}

// The question asked by clean does find something when it is there.
func TestTsharkSeesDamage(t *testing.T) {
	t.Parallel()
	r := record(t, "127.0.0.1:0", false, nil, sampleFile(200_000))
	packets := packets(r)
	altered := bytes.Clone(packets[5].Data)
	altered[len(altered)-1] ^= 1
	for name, damaged := range map[string][]Packet{
		"lost":    slices.Delete(slices.Clone(packets), 5, 6),
		"twice":   slices.Insert(slices.Clone(packets), 8, packets[5]),
		"altered": slices.Replace(slices.Clone(packets), 5, 6, Packet{Time: packets[5].Time, Data: altered}),
	} {
		var b bytes.Buffer
		w := NewWriter(&b, Info{})
		for _, k := range damaged {
			w.Packet(k)
		}
		file := filepath.Join(t.TempDir(), "x.pcapng")
		if err := errors.Join(w.Flush(), os.WriteFile(file, b.Bytes(), 0o600)); err != nil {
			t.Fatal(err)
		}
		if tshark(t, file, "-2", "-R", wrong) == "" {
			t.Errorf("%s: not seen", name)
		}
	}
}
