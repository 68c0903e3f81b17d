package object

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"hufu"
)

// request is what a store was sent.
type request struct {
	method, uri string
	header      http.Header
	trailer     http.Header
	body        []byte
}

// answering returns a Bucket on a store that answers with answer, and the
// requests that were sent to it.
func answering(t *testing.T, answer http.HandlerFunc) (*Bucket, func() []request) {
	t.Helper()
	var mu sync.Mutex
	var all []request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		all = append(all, request{r.Method, r.RequestURI, r.Header, r.Trailer, body})
		mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(server.Close)
	b, err := Open(Source{URL: "s3://bucket/pre", Endpoint: server.URL, PathStyle: true, AccessKey: "access", SecretKey: "the secret"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b, func() []request {
		mu.Lock()
		defer mu.Unlock()
		return all
	}
}

func wantCode(t *testing.T, err error, kind hufu.Kind, code string) {
	t.Helper()
	if hufu.KindOf(err) != kind || hufu.CodeOf(err) != code {
		t.Fatalf("the error is %v, want %v %s", err, kind, code)
	}
	if err != nil && strings.Contains(err.Error(), "the secret") {
		t.Errorf("the secret key is in the error: %v", err)
	}
}

// TestAnObjectIsOneRequest: a large object is one PUT, too, whose bytes are
// followed by a checksum that the signature names.
func TestAnObjectIsOneRequest(t *testing.T) {
	t.Parallel()
	b, sent := answering(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Etag", `"x"`) })
	data := make([]byte, 17<<20) // minio-go would cut it from 16 MiB on
	_, _ = rand.Read(data)
	if err := b.Put(t.Context(), "a/b/0.1", data); err != nil {
		t.Fatal(err)
	}
	all := sent()
	if len(all) != 1 || all[0].method != http.MethodPut || all[0].uri != "/bucket/pre/a/b/0.1" {
		t.Fatalf("%d requests, the first is %s %s", len(all), all[0].method, all[0].uri)
	}
	h := all[0].header
	if h.Get("X-Amz-Content-Sha256") != "STREAMING-UNSIGNED-PAYLOAD-TRAILER" || !strings.EqualFold(h.Get("X-Amz-Trailer"), "x-amz-checksum-crc32c") {
		t.Errorf("the body is announced as %q with %q", h.Get("X-Amz-Content-Sha256"), h.Get("X-Amz-Trailer"))
	}
	if !bytes.Contains(all[0].body, []byte("x-amz-checksum-crc32c:")) {
		t.Error("no checksum follows the bytes")
	}
	wantCode(t, b.Put(t.Context(), "x", make([]byte, MaxUnit+1)), hufu.KindInvalid, "chunk_form")
	if n := len(sent()); n != 1 {
		t.Errorf("%d requests: an object above the limit was sent", n)
	}
}

// TestAnErrorWithStatus200: an answer that has no ETag does not say that the object was stored,
// whatever its status.
func TestAnErrorWithStatus200(t *testing.T) {
	t.Parallel()
	b, _ := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "<Error><Code>InternalError</Code></Error>")
	})
	wantCode(t, b.Put(t.Context(), "k", []byte("data")), hufu.KindUnavailable, "store_unreachable")
}

// TestRefusedBytesAreSentAgain: bytes that changed on their way to the store are no damage, as
// nothing was stored.
func TestRefusedBytesAreSentAgain(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"BadDigest", "XAmzContentChecksumMismatch", "IncompleteBody"} {
		b, _ := answering(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, "<Error><Code>"+code+"</Code></Error>")
		})
		wantCode(t, b.Put(t.Context(), "k", []byte("data")), hufu.KindUnavailable, "store_bytes")
	}
}

// TestNothingIsSentTwice: whether a request without an answer took effect is for
// the caller to find out.
func TestNothingIsSentTwice(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{
		"busy":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"broken": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, sent := answering(t, answer)
			wantCode(t, b.Put(t.Context(), "k", []byte("data")), hufu.KindUnavailable, "store_unreachable")
			wantCode(t, b.Get(t.Context(), "k", 0, make([]byte, 4)), hufu.KindUnavailable, "store_unreachable")
			_, err := b.Size(t.Context(), "k")
			wantCode(t, err, hufu.KindUnavailable, "store_unreachable")
			wantCode(t, b.Delete(t.Context(), "k"), hufu.KindUnavailable, "store_unreachable")
			if n := len(sent()); n != 4 {
				t.Errorf("%d requests for four calls", n)
			}
		})
	}
}

// TestAShortAnswerIsAnError: fewer bytes than were asked for are never taken for
// them, nor is the beginning of an object for its middle.
func TestAShortAnswerIsAnError(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{
		"cut": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "8")
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write([]byte("four"))
		},
		"short": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write([]byte("four"))
		},
		"whole object": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 100)) },
		"right":        func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 8)) },
		"as long":      func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 8)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, _ := answering(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
				w.Header().Set("Etag", `"x"`)
				if name == "right" {
					w.Header().Set("Content-Range", "bytes 5-12/100")
					w.WriteHeader(http.StatusPartialContent)
				}
				answer(w, r)
			})
			if name == "right" {
				if err := b.Get(t.Context(), "k", 5, make([]byte, 8)); err != nil {
					t.Error(err)
				}
				return
			}
			wantCode(t, b.Get(t.Context(), "k", 5, make([]byte, 8)), hufu.KindUnavailable, "store_unreachable")
		})
	}
}

// TestAStalledRequestIsGivenUp: a store that answers nothing holds nobody up.
func TestAStalledRequestIsGivenUp(t *testing.T) {
	t.Parallel()
	b, _ := answering(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	b.stall = 50 * time.Millisecond
	wantCode(t, b.Put(t.Context(), "k", []byte("data")), hufu.KindUnavailable, "store_unreachable")
	b.stall = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	wantCode(t, b.Get(ctx, "k", 0, make([]byte, 4)), hufu.KindCanceled, "canceled")
}

func TestSourcesThatCannotBe(t *testing.T) {
	t.Parallel()
	good := Source{URL: "s3://bucket/a/b/", Endpoint: "https://s3.example.org", AccessKey: "a", SecretKey: "b"}
	b, err := Open(good)
	if err != nil || b.prefix != "a/b/" || b.name != "bucket" {
		t.Fatalf("%+v %v", b, err)
	}
	for code, changes := range map[string][]func(*Source){
		"store_url": {
			func(s *Source) { s.URL = "" }, func(s *Source) { s.URL = "s3:///x" }, func(s *Source) { s.URL = "http://bucket" },
			func(s *Source) { s.URL = "s3://u:p@bucket" }, func(s *Source) { s.URL = "s3://bucket?x=y" },
		},
		"store_endpoint": {
			func(s *Source) { s.Endpoint = "" }, func(s *Source) { s.Endpoint = "s3.example.org" }, func(s *Source) { s.Endpoint = "https://h/path" },
			func(s *Source) { s.Endpoint = "https://u:p@h" }, func(s *Source) { s.Endpoint = "ftp://h" },
		},
		"store_keys": {func(s *Source) { s.AccessKey = "" }, func(s *Source) { s.SecretKey = "" }},
	} {
		for i, change := range changes {
			s := good
			change(&s)
			if _, err := Open(s); hufu.KindOf(err) != hufu.KindUsage || hufu.CodeOf(err) != code {
				t.Errorf("%s %d: %v", code, i, err)
			}
		}
	}
}

// TestSharedKeys: the keys of a profile in a file of AWS credentials.
func TestSharedKeys(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "credentials")
	text := "[default]\naws_access_key_id = a\naws_secret_access_key = b\n[other]\naws_access_key_id = c\naws_secret_access_key = d/+=\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, want := range [][4]string{{file, "default", "a", "b"}, {file, "other", "c", "d/+="}, {file, "none"}, {file + "x", "default"}} {
		if access, secret := SharedKeys(want[0], want[1]); access != want[2] || secret != want[3] {
			t.Errorf("profile %s: %q %q", want[1], access, secret)
		}
	}
}
