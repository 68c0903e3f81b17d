//go:build e2e && linux

// Package objects runs package object on a real S3 store: versitygw, at the
// version that tools/s3.mod pins.
package objects

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"hufu"
	"hufu/internal/blob/object"
	"hufu/test/s3"
)

const patience = 2 * time.Minute

var service *s3.Service

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if service, err = s3.Start(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer service.Stop()
		return m.Run()
	}())
}

// source makes a bucket.
func source(t *testing.T) object.Source {
	t.Helper()
	src, err := service.Bucket()
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func open(t *testing.T, src object.Source) *object.Bucket {
	t.Helper()
	b, err := object.Open(src)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	if hufu.CodeOf(err) != code {
		t.Fatalf("the error is %v, want %s", err, code)
	}
}

func TestBytesComeBack(t *testing.T) {
	t.Parallel()
	b := open(t, source(t))
	var wg sync.WaitGroup
	for i, size := range []int{0, 1, 8 << 10, 1 << 20, 17<<20 + 5} {
		wg.Go(func() {
			key := fmt.Sprintf("i/u/g/%d.0", i)
			data := make([]byte, size)
			_, _ = rand.Read(data)
			if err := b.Put(t.Context(), key, data); err != nil {
				t.Error(err)
				return
			}
			if n, err := b.Size(t.Context(), key); err != nil || n != int64(size) {
				t.Errorf("%s has %d bytes: %v", key, n, err)
			}
			for _, part := range [][2]int{{0, size}, {size / 3, size - size/3}, {size / 2, min(100, size-size/2)}} {
				got := make([]byte, part[1])
				if err := b.Get(t.Context(), key, int64(part[0]), got); err != nil || !bytes.Equal(got, data[part[0]:part[0]+part[1]]) {
					t.Errorf("%d bytes at %d of %d are others: %v", part[1], part[0], size, err)
				}
			}
			if err := b.Get(t.Context(), key, int64(size-size/2), make([]byte, size/2+1)); err == nil {
				t.Errorf("more than the %d bytes there are were read", size)
			}
		})
	}
	wg.Wait()
	keys := map[string]int64{}
	must(t, b.Keys(t.Context(), "i/u/", func(key string, size int64) error { keys[key] = size; return nil }))
	if len(keys) != 5 || keys["i/u/g/4.0"] != 17<<20+5 {
		t.Errorf("listed: %v", keys)
	}
	stop := errors.New("enough")
	if err := b.Keys(t.Context(), "", func(string, int64) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
	must(t, b.Delete(t.Context(), "i/u/g/0.0"))
	must(t, b.Delete(t.Context(), "i/u/g/0.0")) // nothing is there
	_, err := b.Size(t.Context(), "i/u/g/0.0")
	wantCode(t, err, "store_object_missing")
	wantCode(t, b.Get(t.Context(), "i/u/g/0.0", 0, make([]byte, 1)), "store_object_missing")
}

func TestABucketHasOneInstallation(t *testing.T) {
	t.Parallel()
	src := source(t)
	b := open(t, src)
	wantCode(t, b.Owned(t.Context(), "one"), "store_unclaimed")
	must(t, b.Claim(t.Context(), "one"))
	must(t, b.Claim(t.Context(), "one"))
	must(t, b.Owned(t.Context(), "one"))
	for _, other := range []string{"two", "longer", ""} {
		wantCode(t, b.Owned(t.Context(), other), "store_foreign")
		wantCode(t, b.Claim(t.Context(), other), "store_foreign")
	}
	src.URL += "/another" // what is there is another's, but not below this prefix
	must(t, open(t, src).Claim(t.Context(), "two"))
	used := open(t, source(t))
	must(t, used.Put(t.Context(), "x", []byte("somebody's")))
	wantCode(t, used.Claim(t.Context(), "one"), "store_not_empty")
}

func TestStoresThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	src := source(t)
	for name, c := range map[string]struct {
		change func(*object.Source)
		code   string
	}{
		"no bucket":    {func(s *object.Source) { s.URL = "s3://nowhere" }, "store_bucket_missing"},
		"wrong secret": {func(s *object.Source) { s.SecretKey = rand.Text() }, "store_denied"},
		"unknown user": {func(s *object.Source) { s.AccessKey = "eve" }, "store_denied"},
		"no TLS":       {func(s *object.Source) { s.Endpoint = "https://" + service.Address }, "store_unreachable"},
	} {
		bad := src
		c.change(&bad)
		err := open(t, bad).Put(t.Context(), "k", []byte("data"))
		if hufu.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
}

// TestBytesThatChangeOnTheWay: the store refuses a body that is not the one that
// was sent, and keeps nothing of it.
func TestBytesThatChangeOnTheWay(t *testing.T) {
	t.Parallel()
	src := source(t)
	straight := open(t, src)
	data := make([]byte, 1<<20)
	_, _ = rand.Read(data)
	for name, damage := range map[string]func([]byte) []byte{
		"untouched":     func(b []byte) []byte { return b },
		"one bit":       func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"cut":           func(b []byte) []byte { return b[:len(b)/2] },
		"end is lost":   func(b []byte) []byte { return b[:len(b)-2] },
		"checksum gone": func(b []byte) []byte { return append(b[:bytes.LastIndex(b, []byte("x-amz-checksum"))], "\r\n"...) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			way := src
			way.Endpoint = "http://" + through(t, damage)
			key := "k/" + name
			err := open(t, way).Put(t.Context(), key, data)
			_, there := straight.Size(t.Context(), key)
			if name == "untouched" {
				must(t, errors.Join(err, there))
				return
			}
			if err == nil {
				t.Error("it was acknowledged")
			}
			wantCode(t, there, "store_object_missing")
		})
	}
}

// through is a way to the store that damages each body.
func through(t *testing.T, damage func([]byte) []byte) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	server := &http.Server{ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		c, err := net.Dial("tcp", service.Address)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer func() { _ = c.Close() }()
		length := len(body)
		body = damage(body)
		// The headers are those that were signed; a body that was cut has the
		// length that was announced, and then the connection ends.
		_, _ = fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", r.Method, r.RequestURI, r.Host, length)
		r.Header.Del("Content-Length")
		_ = r.Header.Write(c)
		_, _ = c.Write(append([]byte("\r\n"), body...))
		if len(body) < length {
			_ = c.(*net.TCPConn).CloseWrite()
		}
		answer, err := http.ReadResponse(bufio.NewReader(c), r)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer func() { _ = answer.Body.Close() }()
		w.Header().Set("Etag", answer.Header.Get("Etag"))
		w.WriteHeader(answer.StatusCode)
		_, _ = io.Copy(w, answer.Body)
	})}
	go func() { _ = server.Serve(ln) }()
	t.Cleanup(func() { _ = server.Close() })
	return ln.Addr().String()
}

// TestProbe: the real store fits, and what stands in between and damages bytes is named.
func TestProbe(t *testing.T) {
	t.Parallel()
	src := source(t)
	probe := func(src object.Source) map[string]string {
		bad := map[string]string{}
		must(t, open(t, src).Probe(t.Context(), func(p object.Probed) error {
			if p.Err != nil {
				bad[p.Check] = hufu.CodeOf(p.Err)
			}
			return nil
		}))
		return bad
	}
	if bad := probe(src); len(bad) > 0 {
		t.Errorf("the store does not fit: %v", bad)
	}
	b := open(t, src)
	must(t, b.Fit(t.Context()))
	must(t, b.Keys(t.Context(), "", func(key string, _ int64) error { t.Errorf("%s is left", key); return nil }))
	away := src
	away.URL = "s3://nowhere"
	if bad := probe(away); bad["reach"] != "store_bucket_missing" || len(bad) != 1 {
		t.Errorf("without a bucket: %v", bad)
	}
	// A proxy that mends what it breaks: it takes the checksum off, and sends what has arrived.
	lax := src
	lax.Endpoint = "http://" + lying(t, src)
	err := open(t, lax).Fit(t.Context())
	if code := hufu.CodeOf(err); code != "store_no_checksum" && code != "store_keeps_cut" {
		t.Errorf("a proxy that stores anything fits: %v", err)
	}
}

// lying is a way to the store that keeps whatever arrives: it sends a body of its own, with the right checksum.
func lying(t *testing.T, src object.Source) string {
	t.Helper()
	b := open(t, src)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	server := &http.Server{ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		key := r.URL.Path[len("/")+bytes.IndexByte([]byte(r.URL.Path[1:]), '/')+1+len("pre/fix/"):]
		switch r.Method {
		case http.MethodPut:
			if b.Put(r.Context(), key, body) != nil {
				w.WriteHeader(http.StatusInternalServerError)
			}
			w.Header().Set("Etag", `"x"`)
		case http.MethodHead:
			if _, err := b.Size(r.Context(), key); err != nil {
				w.WriteHeader(http.StatusNotFound)
			}
		case http.MethodDelete:
			_ = b.Delete(r.Context(), key)
			w.WriteHeader(http.StatusNoContent)
		}
	})}
	go func() { _ = server.Serve(ln) }()
	t.Cleanup(func() { _ = server.Close() })
	return ln.Addr().String()
}
