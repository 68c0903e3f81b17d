//go:build e2e && linux

package nodes

import (
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"time"
)

// Fault is what goes wrong between a server and its S3 service.
type Fault string

// The faults. All but the last two befall every other request.
const (
	None      Fault = ""
	CutUpload Fault = "a body is cut on the way to the store"
	CutAnswer Fault = "an answer is cut"
	FlipBit   Fault = "a bit of a body is another one, in either direction"
	Busy      Fault = "503"
	Lost      Fault = "a request is carried out, and not answered"
	FalseOK   Fault = "200 with an error in the body"
	Clock     Fault = "the clocks differ too much"
	Slow      Fault = "each request and each answer takes 30 ms longer"
)

// Faults are all of them.
var Faults = []Fault{CutUpload, CutAnswer, FlipBit, Busy, Lost, FalseOK, Clock, Slow}

// FaultyStore is a proxy in front of an S3 service that makes things go wrong.
type FaultyStore struct {
	Address string

	server *http.Server
	fault  atomic.Value // Fault
	asked  atomic.Int64 // how many requests have come since the fault
	met    atomic.Int64 // how many have met it
}

// NewFaultyStore begins one that leads to the S3 service at an address and has no fault.
func NewFaultyStore(to string) (*FaultyStore, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w := &FaultyStore{Address: ln.Addr().String()}
	w.Fault(None)
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: to})
			r.Out.Host = r.In.Host // it is signed
		},
		Transport:      &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 100},
		ModifyResponse: w.answer,
		ErrorLog:       log.New(io.Discard, "", 0),
		ErrorHandler:   func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	w.server = &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) { w.pass(proxy, out, r) })}
	go func() { _ = w.server.Serve(ln) }() // ends with Close
	return w, nil
}

// Close ends the proxy.
func (w *FaultyStore) Close() { _ = w.server.Close() }

// Fault makes this go wrong from now on.
func (w *FaultyStore) Fault(f Fault) {
	w.fault.Store(f)
	w.asked.Store(0)
	w.met.Store(0)
}

// Met is how many requests have met the fault.
func (w *FaultyStore) Met() int64 { return w.met.Load() }

func (w *FaultyStore) pass(proxy http.Handler, out http.ResponseWriter, r *http.Request) {
	f := w.fault.Load().(Fault)
	if n := w.asked.Add(1); f != Slow && f != Clock && n%2 == 0 {
		f = None
	}
	if f != None {
		w.met.Add(1)
	}
	r.Header.Del(faultHeader)
	refuse := func(status int, code string) {
		_, _ = io.Copy(io.Discard, r.Body)
		out.Header().Set("Content-Type", "application/xml")
		out.WriteHeader(status)
		_, _ = io.WriteString(out, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>`+code+`</Code><Message>as a test wants it</Message></Error>`)
	}
	switch f {
	case Busy:
		refuse(http.StatusServiceUnavailable, "SlowDown")
		return
	case FalseOK:
		refuse(http.StatusOK, "InternalError")
		return
	case Clock:
		refuse(http.StatusForbidden, "RequestTimeTooSkewed")
		return
	case CutUpload:
		r.Body = &damaged{ReadCloser: r.Body, at: r.ContentLength / 2, cut: true}
	case FlipBit:
		r.Body = &damaged{ReadCloser: r.Body, at: r.ContentLength / 2}
	case Slow:
		time.Sleep(30 * time.Millisecond)
	}
	// The answer to this request is changed, too. The store ignores the header, which is not signed.
	r.Header.Set(faultHeader, string(f))
	proxy.ServeHTTP(out, r)
}

const faultHeader = "X-Hufu-Test-Fault"

func (w *FaultyStore) answer(r *http.Response) error {
	switch Fault(r.Request.Header.Get(faultHeader)) {
	case Lost:
		return errors.New("lost")
	case CutAnswer:
		if r.ContentLength <= 0 {
			return errors.New("cut")
		}
		r.Body = &damaged{ReadCloser: r.Body, at: r.ContentLength / 2, cut: true}
	case FlipBit:
		if r.Request.Method == http.MethodGet {
			r.Body = &damaged{ReadCloser: r.Body, at: r.ContentLength / 2}
		}
	case Slow:
		time.Sleep(30 * time.Millisecond)
	}
	return nil
}

// damaged is a body that ends too early, or one byte of which is another one.
type damaged struct {
	io.ReadCloser
	at  int64
	cut bool
}

func (d *damaged) Read(b []byte) (int, error) {
	if d.cut && int64(len(b)) > d.at {
		b = b[:d.at]
	}
	if d.cut && d.at == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := d.ReadCloser.Read(b)
	if !d.cut && 0 <= d.at && d.at < int64(n) {
		b[d.at] ^= 1
	}
	d.at -= int64(n)
	return n, err //nolint:wrapcheck // io.EOF has to stay what it is
}
