package gui_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"testing"

	"hufu/internal/gui"
	"hufu/internal/testenv"
)

func TestMain(m *testing.M) {
	gui.TestDisk = testenv.Disk{}
	to := os.Getenv(gui.AsBrowser)
	if to == "" {
		os.Exit(m.Run())
	}
	c, err := net.Dial("tcp", to) //nolint:noctx // loopback
	if err == nil {
		err = json.NewEncoder(c).Encode(struct{ Args, Env []string }{os.Args, os.Environ()})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
