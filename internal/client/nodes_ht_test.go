package client_test

import (
	"context"
	"crypto"
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hufu"
	"hufu/internal/ca"
	"hufu/internal/client"
	"hufu/internal/identity"
	"hufu/internal/profile"
	"hufu/internal/testenv"
	"hufu/internal/transfer"
)

// TestHT57AnotherServerProvesTheSameName: a server whose address a client was told is used only if it
// proves the name of the first one by the same root. Otherwise it does not learn who the client is.
func TestHT57AnotherServerProvesTheSameName(t *testing.T) {
	t.Parallel()
	env, foreign := testenv.New(t, testenv.Options{}), testenv.New(t, testenv.Options{})
	r := env.Person("alice").Remote(client.Options{})
	if err := r.LoggedIn(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := client.OpenSpare(t.Context(), r, foreign.Address)
	if _, unproven := errors.AsType[*tls.CertificateVerificationError](err); !unproven {
		t.Errorf("a server of another root: %v", err)
	}
	if strings.Contains(foreign.Log.String(), "alice") {
		t.Error("it has learnt who the client is:\n" + foreign.Log.String())
	}
	// The same server at another address is no further one.
	_, port, _ := strings.Cut(env.Address, ":")
	if err := client.OpenSpare(t.Context(), r, "localhost:"+port); !errors.Is(err, client.ErrSameServer) {
		t.Errorf("the same server: %v", err)
	}
	client.Learn(r, []string{"localhost:" + port, foreign.Address})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	used := make(chan struct{})
	go func() {
		defer close(used)
		r.Spread(ctx, 0, func(transfer.Lane, bool) { t.Error("a lane was opened") })
	}()
	until(t, "the other server is tried", func() bool { return strings.Count(foreign.Log.String(), "\n") > 1 })
	cancel()
	<-used
}

// TestLanesOfAServerThatIsDown: the part of the lanes that a server which cannot be used would have goes to the
// own one.
func TestLanesOfAServerThatIsDown(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	r := env.Person("alice").Remote(client.Options{})
	if err := r.LoggedIn(t.Context()); err != nil {
		t.Fatal(err)
	}
	client.Learn(r, []string{"127.0.0.1:1", "127.0.0.1:2"})
	const jobs = 7
	own := r.Lanes(t.Context(), jobs)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	used, over := make(chan string, jobs), make(chan struct{})
	go func() {
		defer close(over)
		r.Spread(ctx, jobs, func(l transfer.Lane, _ bool) {
			used <- l.Node()
			<-ctx.Done()
		})
	}()
	for range jobs - own {
		if at := <-used; at != env.Address {
			t.Errorf("a lane to %s", at)
		}
	}
	cancel()
	<-over
	if n := len(used); n > 0 {
		t.Errorf("%d lanes too many", n)
	}
}

// TestTheOwnServerIsDown: a command begins over another server that the last one was told of or has used,
// and forgets those that are none any more.
func TestTheOwnServerIsDown(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	alice := env.Person("alice")
	_, port, _ := strings.Cut(env.Address, ":")
	alice.Profile.Address = "127.0.0.1:1"
	once := client.Options{Patience: &client.Patience{}}
	foreign := testenv.New(t, testenv.Options{})
	try := func(kept string, known bool) {
		t.Helper()
		if kept != "" {
			if err := alice.Profile.Keep("nodes.json", []byte(kept)); err != nil {
				t.Fatal(err)
			}
		}
		err := alice.Remote(once).LoggedIn(t.Context())
		if known != (err == nil) || !known && hufu.CodeOf(err) != "cannot_connect" {
			t.Errorf("%q: %v", kept, err)
		}
	}
	try("", false)
	try("no list", false)
	try(`["localhost:1", "localhost:`+port+`"]`, true)
	try("", true)
	if got, err := alice.Profile.Kept("nodes.json"); err != nil || string(got) != `["localhost:`+port+"\"]\n" {
		t.Errorf("%s %v", got, err)
	}
	// What is at another address may be no server of the installation: the next one is tried.
	try(`["`+foreign.Address+`"]`, false)
	try(`["`+foreign.Address+`", "localhost:`+port+`"]`, true)
	// More servers than are tried at once: the next try begins with the others.
	try(`["localhost:1", "localhost:2", "localhost:`+port+`"]`, false)
	once.Patience = &client.Patience{For: 20 * time.Second, Tries: 2}
	try(`["localhost:1", "localhost:2", "localhost:`+port+`"]`, true)
	alice.Profile.Address = env.Address
	try("", true)
	if got, err := alice.Profile.Kept("nodes.json"); err != nil || strings.Contains(string(got), port) {
		t.Errorf("%s %v", got, err)
	}
}

// TestAnotherServerRenews: a certificate that is not valid yet is renewed although the own server is down.
func TestAnotherServerRenews(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	alice := env.Person("alice")
	leaf := func() *identity.Certificate {
		t.Helper()
		pair, err := alice.Profile.Certificate()
		if err != nil {
			t.Fatal(err)
		}
		c, err := identity.ParseCert(pair.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	now := leaf()
	authority, err := ca.Open(t.Context(), env.Data, env.DB, env.Account, ca.Options{Now: func() time.Time { return time.Now().Add(20 * 24 * time.Hour) }})
	if err != nil {
		t.Fatal(err)
	}
	pair, err := alice.Profile.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	csr, err := identity.MakeCSR(pair.PrivateKey.(crypto.Signer))
	if err != nil {
		t.Fatal(err)
	}
	chain, err := authority.Renew(t.Context(), identity.Serial(now), identity.Fingerprint(now), csr)
	if err != nil {
		t.Fatal(err)
	}
	var certs []*identity.Certificate
	for _, der := range chain[:2] {
		c, err := identity.ParseCert(der)
		if err != nil {
			t.Fatal(err)
		}
		certs = append(certs, c)
	}
	if err := os.WriteFile(filepath.Join(alice.Dirs.Profile(profile.Default), "client.crt"), identity.MarshalCerts(certs...), 0o600); err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(env.Address, ":")
	alice.Profile.Address = "127.0.0.1:1"
	if err := alice.Profile.Keep("nodes.json", []byte(`["localhost:1", "localhost:`+port+`"]`)); err != nil {
		t.Fatal(err)
	}
	if err := alice.Remote(client.Options{}).LoggedIn(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c := leaf(); c.NotBefore.After(time.Now()) {
		t.Errorf("the certificate is still the one from the future: %v", c.NotBefore)
	}
}

// TestAnotherServerTakesTheConnection: if the own server is gone, another one that is known is asked at
// once, and nobody is told.
func TestAnotherServerTakesTheConnection(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	told := 0
	r := env.Person("alice").Remote(client.Options{Notify: func(error) { told++ }})
	if err := r.LoggedIn(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(env.Address, ":")
	client.Learn(r, []string{"localhost:" + port})
	client.Lose(r, "127.0.0.1:1")
	if _, err := r.Stat(t.Context(), hufu.Path{}); err != nil || told != 0 {
		t.Errorf("%v; told %d times", err, told)
	}
}
