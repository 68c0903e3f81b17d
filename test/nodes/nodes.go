//go:build e2e && linux

// Package nodes runs several servers of one installation on this computer, on a PostgreSQL and an
// S3 service of their own, behind one address as behind one name.
package nodes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"hufu/internal/blob/object"
	"hufu/test/built"
	"hufu/test/engine"
	"hufu/test/s3"
)

// Engines are what servers share: each installation has a database and a bucket of its own there.
type Engines struct {
	Database *engine.Server
	Store    *s3.Service

	made atomic.Int64
}

// Start starts both.
func Start() (*Engines, error) {
	e := &Engines{}
	var wg sync.WaitGroup
	var err1, err2 error
	wg.Go(func() { e.Database, err1 = engine.PostgreSQL() })
	wg.Go(func() { e.Store, err2 = s3.Start() })
	wg.Wait()
	if err := errors.Join(err1, err2); err != nil {
		e.Stop()
		return nil, err
	}
	return e, nil
}

// Stop ends both and removes what they have kept.
func (e *Engines) Stop() {
	if e.Database != nil {
		e.Database.Stop()
	}
	if e.Store != nil {
		e.Store.Stop()
	}
}

// Place is where an installation keeps its names and bytes.
type Place struct {
	Database string // its name at the server
	Bucket   object.Source
}

// Place makes a database and a bucket.
func (e *Engines) Place(ctx context.Context) (Place, error) {
	bucket, err := e.Store.Bucket()
	p := Place{fmt.Sprintf("hufu%d", e.made.Add(1)), bucket}
	return p, errors.Join(err, e.Database.Create(ctx, p.Database))
}

// Config is a hufud.toml for servers that reach the database at one address and the S3 service at
// another one, which may be those of proxies. advertise is what clients are told, or "".
func (e *Engines) Config(p Place, database, store, advertise string) string {
	text := ""
	if advertise != "" {
		text = fmt.Sprintf("advertise = %q\n", advertise)
	}
	p.Bucket.Endpoint = "http://" + store
	return text + Text(e.Database.URL(database, p.Database), p.Bucket)
}

// Text is a hufud.toml for servers on a database, given by its URL, and a bucket.
func Text(database string, b object.Source) string {
	return fmt.Sprintf("[database]\nurl = %q\n[store]\nurl = %q\nendpoint = %q\npath_style = true\naccess_key = %q\nsecret_key = %q\n",
		database, b.URL, b.Endpoint, b.AccessKey, b.SecretKey)
}

// Make makes the data folders of n servers, dir with 1, 2 and so on behind it: the first one with
// "hufud init", the others as on further computers. None is started.
func Make(bin, dir, config string, n int) (all []*built.Server, err error) {
	file := filepath.Join(filepath.Dir(dir), filepath.Base(dir)+".toml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	for i := range n {
		var s *built.Server
		if data := fmt.Sprint(dir, i+1); i == 0 {
			s, err = built.NewServerWith([]string{"--config", file}, bin, data)
		} else {
			s, err = all[0].Join(data)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, os.Remove(file)
}
