package client_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"hufu"
	"hufu/internal/client"
	"hufu/internal/testenv"
)

// TestNobodyWaitsForAFIFO: a FIFO with the name of the mark of a data folder stops no
// put, neither in the folder that is sent nor above it, where it may be another user's.
func TestNobodyWaitsForAFIFO(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	alice := env.Person("alice")
	r := alice.Remote(client.Options{})
	inner := alice.Local("folder/inner")
	if err := errors.Join(os.MkdirAll(inner, 0o700), syscall.Mkfifo(alice.Local(hufu.DataTag), 0o666), syscall.Mkfifo(filepath.Join(inner, hufu.DataTag), 0o666)); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := put(t.Context(), r, []string{inner + "/"}, parse(t, "in"), client.How{Folder: true})
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the put waits for the FIFO")
	}
	if f, err := client.OpenRegular(alice.Local(hufu.DataTag)); err == nil {
		_ = f.Close()
		t.Error("a FIFO is opened")
	}
	if f, err := client.OpenRegular(inner); err == nil {
		_ = f.Close()
		t.Error("a folder is opened")
	}
}
