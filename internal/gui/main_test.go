package gui

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"testing"
)

// asBrowser makes a run of this test a browser that tells what it was called
// with to the address that it holds.
const asBrowser = "HUFU_TEST_BROWSER"

func TestMain(m *testing.M) {
	to := os.Getenv(asBrowser)
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
