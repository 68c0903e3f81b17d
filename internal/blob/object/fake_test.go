package object_test

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"hufu/internal/blob/object"
)

// fake is an S3 store in memory: PUT with a checksum that follows the bytes, GET of a range, HEAD,
// DELETE and LIST. It notes a key that is written twice.
type fake struct {
	mu      sync.Mutex
	objects map[string][]byte
	written map[string]int
	refuse  func(r *http.Request) bool // answer 503
	busy    int                        // what is answered where refuse says so, 0 is 503
	before  func(r *http.Request)      // is called before a request is answered
	sorted  bool                       // listings are in order
	age     time.Duration              // of all objects
	lies    string                     // what it does not do as it should: a check of a probe
}

func newFake(t *testing.T) (*fake, *object.Bucket) {
	t.Helper()
	f := &fake{objects: map[string][]byte{}, written: map[string]int{}}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	b, err := object.Open(object.Source{URL: "s3://bucket", Endpoint: server.URL, PathStyle: true, AccessKey: "a", SecretKey: "s"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	t.Cleanup(func() {
		for key, n := range f.written {
			if n > 1 && !strings.Contains(key, "/overwrite") {
				t.Errorf("%s was written %d times", key, n)
			}
		}
	})
	return f, b
}

// keys lists the objects.
func (f *fake) keys() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []string
	for key := range f.objects {
		all = append(all, key)
	}
	slices.Sort(all)
	return all
}

// fails makes the store answer 503 where refuse says so.
func (f *fake) fails(refuse func(r *http.Request) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refuse = refuse
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key := strings.TrimPrefix(r.URL.Path, "/bucket/")
	body, cut := io.ReadAll(r.Body)
	if cut != nil && f.lies != "cut" {
		panic(http.ErrAbortHandler)
	}
	if f.before != nil {
		f.before(r)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse != nil && f.refuse(r) {
		w.WriteHeader(cmp.Or(f.busy, http.StatusServiceUnavailable))
		return
	}
	data, there := f.objects[key]
	now := time.Now()
	if f.lies == "clock" {
		now = now.Add(20 * time.Minute)
	}
	w.Header().Set("Last-Modified", now.UTC().Format(http.TimeFormat))
	w.Header().Set("Etag", `"x"`)
	switch {
	case r.Method == http.MethodPut:
		data, err := unchunked(body)
		switch {
		case err == nil && len(data) > 0 && (f.lies == "read" || f.lies == "overwrite" && there):
			data[0] ^= 1
		case err != nil && f.lies == "checksum" && len(data) > 0:
			err = nil
		case cut != nil:
			data, err = body, nil
		}
		if f.lies == "writers" && strings.Contains(key, "/writers/7") {
			return
		}
		if err != nil {
			answer(w, http.StatusBadRequest, "BadDigest")
			return
		}
		f.objects[key] = data
		f.written[key]++
	case r.Method == http.MethodDelete:
		if f.lies != "delete" {
			delete(f.objects, key)
		}
		w.WriteHeader(http.StatusNoContent)
	case r.URL.Query().Has("versioning") && f.lies == "denied":
		answer(w, http.StatusForbidden, "AccessDenied")
	case r.URL.Query().Has("versioning") && f.lies == "unknown":
		answer(w, http.StatusNotImplemented, "NotImplemented")
	case r.URL.Query().Has("versioning"):
		status := map[bool]string{true: "Enabled"}[f.lies == "versions"]
		_, _ = fmt.Fprintf(w, "<VersioningConfiguration><Status>%s</Status></VersioningConfiguration>", status)
	case r.URL.Query().Has("list-type"):
		f.list(w, r.URL.Query().Get("prefix"))
	case !there:
		answer(w, http.StatusNotFound, "NoSuchKey")
	default:
		if f.lies == "range" {
			r.Header.Del("Range")
		}
		http.ServeContent(w, r, "", zeroTime, bytes.NewReader(data))
	}
}

func answer(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code></Error>", code)
}

func (f *fake) list(w http.ResponseWriter, prefix string) {
	type object struct {
		Key          string
		Size         int
		LastModified time.Time
	}
	var out struct {
		XMLName  xml.Name `xml:"ListBucketResult"`
		Contents []object
	}
	for key, data := range f.objects {
		if strings.HasPrefix(key, prefix) && f.lies != "list" {
			out.Contents = append(out.Contents, object{key, len(data), time.Now().Add(-f.age)})
		}
	}
	if f.sorted {
		slices.SortFunc(out.Contents, func(a, b object) int { return strings.Compare(a.Key, b.Key) })
	}
	_ = xml.NewEncoder(w).Encode(out)
}

// unchunked takes a body apart, and compares the bytes with the checksum behind them.
func unchunked(body []byte) (data []byte, err error) {
	r := bufio.NewReader(bytes.NewReader(body))
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return nil, err
		}
		n, err := strconv.ParseInt(strings.TrimSpace(line), 16, 64)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			break
		}
		part := make([]byte, n+2)
		if _, err := io.ReadFull(r, part); err != nil {
			return nil, err
		}
		data = append(data, part[:n]...)
	}
	line, err := r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	sum := crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))
	want := base64.StdEncoding.EncodeToString([]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)})
	if strings.TrimSpace(line) != "x-amz-checksum-crc32c:"+want {
		return data, fmt.Errorf("the checksum is %q", line)
	}
	return data, nil
}
