//go:build unix

package client_test

import (
	"errors"
	"os"
	"strconv"
	"syscall"
	"testing"

	"hufu"
	"hufu/internal/client"
	"hufu/internal/testenv"
)

// TestNamedSpecialFilesFail: what is neither a file nor a folder nor a link fails
// when it is named, also through a link that leads to no path, and is skipped in
// a folder.
func TestNamedSpecialFilesFail(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	alice := env.Person("alice")
	r := alice.Remote(client.Options{})
	read, write, err := os.Pipe()
	if err = errors.Join(
		err,
		os.Mkdir(alice.Local("folder"), 0o700),
		syscall.Mkfifo(alice.Local("folder/fifo"), 0o600),
		os.Symlink("folder/fifo", alice.Local("link")),
	); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = read.Close(), write.Close() }()
	cases := map[string]string{
		alice.Local("folder/fifo"): "source_pipe",
		alice.Local("link"):        "source_pipe",
		os.DevNull:                 "source_device",
	}
	cases["/dev/fd/"+strconv.Itoa(int(read.Fd()))] = "source_pipe"
	for path, want := range cases {
		_, err := put(t.Context(), r, []string{path}, parse(t, "in"), client.How{Folder: true})
		if hufu.CodeOf(err) != want || hufu.KindOf(err).Exit() != 1 {
			t.Errorf("%s: %v", path, err)
		}
	}
	// As a link it can be sent, and in a folder it is passed over.
	if _, err := put(t.Context(), r, []string{alice.Local("link")}, parse(t, "in"), client.How{Folder: true, Links: true}); err != nil {
		t.Error(err)
	}
	if _, err := put(t.Context(), r, []string{alice.Local("folder")}, parse(t, "in"), client.How{Folder: true}); err != nil {
		t.Error(err)
	}
}
