package client_test

import (
	"context"
	"net"
	"testing"

	"hufu"
	"hufu/internal/client"
	"hufu/internal/testenv"
)

// TestCloseDoesNotWaitForADial: a server that takes connections and says nothing
// keeps nobody who has turned away from it.
func TestCloseDoesNotWaitForADial(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	r := testenv.New(t, testenv.Options{}).Person("alice").Remote(client.Options{Address: silent.Addr().String()})
	// Without a limit of its own, so that Close alone can end it.
	said := make(chan error, 1)
	go func() {
		_, err := r.Whoami(context.Background())
		said <- err
	}()
	c, err := silent.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if err := <-said; hufu.KindOf(err) != hufu.KindCanceled {
		t.Errorf("the call says %v", err)
	}
}
