package demo

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"time"

	"hufu"
	"hufu/internal/capture"
	"hufu/internal/client"
	"hufu/internal/identity"
	"hufu/internal/report"
)

// patience is how long an interloper keeps one connection.
const patience = 15 * time.Second

// interloper is a man in the middle. It shows each client a certificate that looks
// like the server's, from a CA of its own, and passes on to the teaching world
// what it decrypts. A client that accepted it would notice nothing and send it the
// password.
type interloper struct {
	ln     net.Listener
	config *tls.Config
	onward string
	wg     sync.WaitGroup

	mu    sync.Mutex // guards heard
	heard bytes.Buffer
}

// interpose starts an interloper on loopback that imitates the server of a
// connection and speaks plainly to onward.
func interpose(server tls.ConnectionState, onward string) (*interloper, error) {
	config, err := identity.Impostor(server)
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", loopback(0))
	if err != nil {
		return nil, &hufu.Error{Op: "stand in the middle", Kind: hufu.KindNetwork, Code: "cannot_connect", Args: map[string]string{"address": loopback(0)}, Err: err}
	}
	m := &interloper{ln: ln, config: config, onward: onward}
	m.wg.Go(func() { // ends with the listener
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			m.wg.Go(func() { m.serve(c) })
		}
	})
	return m, nil
}

func (m *interloper) serve(raw net.Conn) {
	defer func() { _ = raw.Close() }()
	_ = raw.SetDeadline(time.Now().Add(patience))
	c := tls.Server(raw, m.config)
	if c.Handshake() != nil {
		return // refused, as it should be
	}
	far, err := net.DialTimeout("tcp", m.onward, patience)
	if err != nil {
		return
	}
	defer func() { _ = far.Close() }()
	_ = far.SetDeadline(time.Now().Add(patience))
	m.wg.Go(func() {
		_, _ = io.Copy(c, far)
		_ = raw.Close()
	})
	_, _ = io.Copy(io.MultiWriter(m, far), c) // heard before it is passed on
}

// Write takes what was decrypted.
func (m *interloper) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.heard.Write(p)
}

func (m *interloper) knows(secret string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return bytes.Contains(m.heard.Bytes(), []byte(secret))
}

func (m *interloper) close() {
	_ = m.ln.Close()
	m.wg.Wait()
}

// attempt lets a man in the middle try to get the password.
func (w *wiring) attempt(ctx context.Context, rec *capture.Recorder) (*report.Attempt, error) {
	server, err := w.server(ctx)
	if err != nil {
		return nil, err
	}
	m, err := interpose(*server, w.plain)
	if err != nil {
		return nil, err
	}
	defer m.close()
	r, err := client.New(w.p, client.Options{Teach: true, NoRenew: true, Address: m.ln.Addr().String(), Tap: tap(rec)})
	if err != nil {
		return nil, err
	}
	err = r.Login(ctx, w.user, w.password)
	_ = r.Close()
	a := &report.Attempt{}
	if err != nil && !m.knows(w.password) {
		a.Exit = hufu.KindOf(err).Exit()
		a.Reason, _ = w.o.Error(err)
	}
	return a, nil
}

// server returns what any client can see of the server.
func (w *wiring) server(ctx context.Context) (*tls.ConnectionState, error) {
	r, err := client.New(w.p, client.Options{Teach: true, NoRenew: true})
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	if _, err := r.Connect(ctx); err != nil {
		return nil, err
	}
	return r.State(), nil
}

func tap(rec *capture.Recorder) func(net.Conn) net.Conn {
	return func(c net.Conn) net.Conn { return capture.Wrap(c, rec) }
}
