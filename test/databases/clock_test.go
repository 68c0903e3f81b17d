//go:build e2e

package databases

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hufu/internal/blob/object"
	"hufu/test/built"
	shared "hufu/test/nodes"
)

// wrongClock is a way to the store of src on which requests arrive as from a computer whose clock is
// off: with another date, signed with the right key. The store itself judges them.
func wrongClock(t *testing.T, src object.Source) (endpoint string, off *atomic.Int64) {
	t.Helper()
	to, err := url.Parse(src.Endpoint)
	must(t, err)
	off = &atomic.Int64{} // a time.Duration
	proxy := &httputil.ReverseProxy{ErrorLog: log.New(io.Discard, "", 0), Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = r.In.Host
		if d := time.Duration(off.Load()); d != 0 {
			sign(r.Out, src, time.Now().Add(d).UTC())
		}
	}}
	s := httptest.NewServer(proxy)
	t.Cleanup(s.Close)
	return s.URL, off
}

// sign dates a request and signs the headers that it had signed, by version 4 of Amazon's signatures.
func sign(r *http.Request, src object.Source, at time.Time) {
	_, signed, _ := strings.Cut(r.Header.Get("Authorization"), "SignedHeaders=")
	signed, _, _ = strings.Cut(signed, ",")
	r.Header.Set("X-Amz-Date", at.Format("20060102T150405Z"))
	var headers strings.Builder
	for name := range strings.SplitSeq(signed, ";") {
		value := strings.Join(r.Header.Values(name), ",")
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = fmt.Sprint(r.ContentLength)
		}
		fmt.Fprintf(&headers, "%s:%s\n", name, strings.TrimSpace(value))
	}
	sum := func(s string) string { h := sha256.Sum256([]byte(s)); return hex.EncodeToString(h[:]) }
	query := strings.ReplaceAll(r.URL.Query().Encode(), "+", "%20")
	request := strings.Join([]string{r.Method, r.URL.EscapedPath(), query, headers.String(), signed, r.Header.Get("X-Amz-Content-Sha256")}, "\n")
	day := at.Format("20060102")
	scope := day + "/us-east-1/s3/aws4_request"
	key := []byte("AWS4" + src.SecretKey)
	for _, s := range []string{day, "us-east-1", "s3", "aws4_request", "AWS4-HMAC-SHA256\n" + at.Format("20060102T150405Z") + "\n" + scope + "\n" + sum(request)} {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(s))
		key = h.Sum(nil)
	}
	r.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%x", src.AccessKey, scope, signed, key))
}

// TestClockOff: a server whose clock is 20 minutes off is refused by the store. It says so, to the
// administrator by name; its users are asked to wait, and lose nothing.
func TestClockOff(t *testing.T) {
	t.Parallel()
	e, err := postgres()
	must(t, err)
	programs, err := bin()
	must(t, err)
	store, err := service()
	must(t, err)
	src, err := store.Bucket()
	must(t, err)
	way, off := wrongClock(t, src)
	src.Endpoint = way
	dir := t.TempDir()
	file := filepath.Join(dir, "hufud.toml")
	must(t, os.WriteFile(file, []byte(shared.Text(e.fresh(t), src)), 0o600))
	off.Store(int64(time.Second)) // within what the store bears: the signature is right
	s, err := built.NewServerWith([]string{"--config", file}, programs, filepath.Join(dir, "node"))
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.Log())
		}
		must(t, s.Kill())
	})
	must(t, s.Start())
	alice, err := s.Enroll(filepath.Join(dir, "alice"), "alice", s.Address)
	must(t, err)
	small, large := []byte("small"), make([]byte, 5<<20)
	_, _ = rand.Read(large)
	must(t, os.WriteFile(filepath.Join(alice.Home, "large"), large, 0o600), os.WriteFile(filepath.Join(alice.Home, "small"), small, 0o600))
	run := func(code int, says string) func(built.Result, error) {
		return func(r built.Result, err error) {
			t.Helper()
			must(t, err)
			if r.Code != code || !strings.Contains(r.Out+r.Err, says) {
				t.Errorf("not %d with %q: %s", code, says, r)
			}
		}
	}
	run(0, "")(alice.Run("put", "large", ":/"))

	for _, d := range []time.Duration{-20 * time.Minute, 20 * time.Minute} {
		off.Store(int64(d))
		run(5, `"code":"store_clock"`)(s.Admin("store", "probe", "--json"))
		run(5, "clocks of this computer and of the store differ too much")(s.Admin("store", "probe"))
		run(5, "")(alice.Run("put", "--retries", "0", "large", fmt.Sprintf(":/new%d", d)))
		run(5, "")(alice.Run("get", "--retries", "0", ":/large", "back"))
		if _, err := os.Stat(filepath.Join(alice.Home, "back")); err == nil {
			t.Error("a part has the name of the file")
		}
		if !strings.Contains(s.Log(), "store_clock") {
			t.Error("the log does not name the clock")
		}
		run(0, "large")(alice.Run("ls", ":/")) // the names are in the database
		must(t, s.Kill())
		if err := s.Start(); err == nil || !strings.Contains(err.Error(), "clocks of this computer and of the store differ too much") {
			t.Error("a server starts though its store refuses it:", err)
		}
		off.Store(int64(time.Second))
		must(t, s.Start())
	}
	run(0, "")(alice.Run("put", "large", "small", ":/new/"))
	run(0, "")(alice.Run("get", ":/new/large", "back"))
	if got, err := os.ReadFile(filepath.Join(alice.Home, "back")); err != nil || !bytes.Equal(got, large) {
		t.Errorf("another file has come: %v", err)
	}
	run(0, "")(s.Admin("fsck"))
	run(0, "")(s.Admin("store", "probe"))
}
