package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"hufu"
	"hufu/internal/cli"
	"hufu/internal/meta"
	"hufu/internal/profile"
)

// TestRunClaimsItsBucket: "hufud run" makes a data folder on a bucket as "hufud init" does, or none:
// a server does not start on a bucket that is nobody's.
func TestRunClaimsItsBucket(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	env := map[string]string{"HUFU_STORE_URL": "s3://bucket/hufu", "HUFU_STORE_ENDPOINT": "http://127.0.0.1:1"} // and no keys
	a := &app{App: cli.New(program, nil, nil, io.Discard, io.Discard, func(k string) string { return env[k] }), data: filepath.Join(dir, "data")}
	err := a.makeData(t.Context(), profile.Dirs{Config: filepath.Join(dir, "config"), State: filepath.Join(dir, "state")})
	if hufu.CodeOf(err) != "store_keys" {
		t.Errorf("the bucket was not used: %v", err)
	}
	if _, err := os.Stat(a.data); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the data folder: %v", err)
	}
	p, err := a.plan("", "", []string{"localhost"})
	if err != nil {
		t.Fatal(err)
	}
	if o := a.initOptions(p, meta.Source{}, true); o.Common || o.Files == nil {
		t.Errorf("the shared folder would be on the disk: %+v", o)
	}
	env = nil
	if p, err = a.plan("", "", []string{"localhost"}); err != nil {
		t.Fatal(err)
	}
	if o := a.initOptions(p, meta.Source{}, true); !o.Common || o.Files != nil {
		t.Errorf("the shared folder would not be on the disk: %+v", o)
	}
}
