package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"hufu"
	"hufu/internal/blob/disk"
	"hufu/internal/blob/object"
	"hufu/internal/cli"
	"hufu/internal/files"
	"hufu/internal/meta"
)

// cleanEvery is how often objects that no file needs any more are looked for.
const cleanEvery = time.Hour

// onDisk reports whether the files are in the data folder.
func (c *configuration) onDisk() bool { return c.Store.URL == defaultStore }

// bucket returns the bucket of the configuration. Nothing is asked of it yet.
func (a *app) bucket(c *configuration) (*object.Bucket, error) {
	access, err := a.storeKey(c.Store.AccessKey, c.Store.AccessKeyFile)
	if err != nil {
		return nil, err
	}
	secret, err := a.storeKey(c.Store.SecretKey, c.Store.SecretKeyFile)
	if err != nil {
		return nil, err
	}
	if access == "" && secret == "" { // where other programs for S3 look
		access, secret = a.Getenv("AWS_ACCESS_KEY_ID"), a.Getenv("AWS_SECRET_ACCESS_KEY")
	}
	if access == "" && secret == "" {
		file := a.Getenv("AWS_SHARED_CREDENTIALS_FILE")
		if home := a.Getenv("HOME"); file == "" && home != "" {
			file = filepath.Join(home, ".aws", "credentials")
		}
		access, secret = object.SharedKeys(file, cmp.Or(a.Getenv("AWS_PROFILE"), "default"))
	}
	return object.Open(object.Source{
		URL: c.Store.URL, Endpoint: c.Store.Endpoint, Region: c.Store.Region, PathStyle: *c.Store.PathStyle, AccessKey: access, SecretKey: secret,
	})
}

// storeKey returns a key that is in the configuration itself or in a file, relative to the data
// folder, which nobody else may read.
func (a *app) storeKey(key, file string) (string, error) {
	if key != "" || file == "" {
		return key, nil
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(a.data, file)
	}
	if i, err := os.Stat(file); err == nil && runtime.GOOS != "windows" && i.Mode().IsRegular() && i.Mode().Perm()&0o077 != 0 {
		return "", cli.Usage("store_key_open", "file", file)
	}
	return cli.FirstLine(file)
}

// claim returns a function that marks the bucket as belonging to the installation and, if common,
// creates the shared folder. It returns nil if the files are on disk.
func (a *app) claim(c *configuration, common bool) func(context.Context, *meta.DB) error {
	if c.onDisk() {
		return nil
	}
	return func(ctx context.Context, db *meta.DB) (err error) {
		b, err := a.bucket(c)
		if err != nil {
			return err
		}
		defer b.Close()
		names, err := db.Names()
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, names.Close()) }()
		id, err := names.Installation(ctx, strings.ToLower(rand.Text()))
		if err == nil {
			err = b.Claim(ctx, id)
		}
		if err == nil && common {
			err = object.NewTrees(names, b, object.Options{Installation: id}).MakeShared(ctx, "common")
		}
		return err
	}
}

// objectTrees are the trees of an installation whose bytes are in a bucket, with what they need.
type objectTrees struct {
	*object.Trees
	names  *meta.Names
	bucket *object.Bucket
}

func (t *objectTrees) Close() error {
	err := errors.Join(t.Trees.Close(), t.names.Close())
	t.bucket.Close()
	return err
}

// trees opens the files of the data folder, or those of the bucket that the configuration names.
// clean is what has to run beside them.
func (a *app) trees(ctx context.Context, db *meta.DB, log *slog.Logger) (trees files.Stores, clean func(context.Context), err error) {
	c, _, err := a.config()
	if err != nil {
		return nil, nil, err
	}
	if c.onDisk() {
		trees, err := disk.OpenTrees(filepath.Join(a.data, "files"), filepath.Join(a.data, "uploads"), disk.UploadRoom, log)
		if err != nil {
			return nil, nil, err
		}
		return trees, func(context.Context) {}, nil
	}
	t, err := a.objects(ctx, db, c)
	if err != nil {
		return nil, nil, err
	}
	src, err := a.database()
	if err == nil {
		err = t.bucket.Fit(ctx)
	}
	if err != nil {
		return nil, nil, errors.Join(err, t.Close())
	}
	log.Info("files are objects: what is acknowledged is as durable as the S3 service and the database make it",
		"store", redacted(c.Store.URL), "endpoint", redacted(c.Store.Endpoint), "database", src.String(), "setting", durableBy(src))
	return t, func(ctx context.Context) { t.clean(ctx, c.grace(), log) }, nil
}

// objects opens the trees whose bytes are in the bucket of the configuration.
func (a *app) objects(ctx context.Context, db *meta.DB, c *configuration) (t *objectTrees, err error) {
	t = &objectTrees{}
	if t.bucket, err = a.bucket(c); err != nil {
		return nil, err
	}
	if t.names, err = db.Names(); err != nil {
		t.bucket.Close()
		return nil, err
	}
	id, err := t.names.Installation(ctx, strings.ToLower(rand.Text()))
	if err == nil {
		err = t.bucket.Owned(ctx, id)
	}
	if err != nil {
		t.bucket.Close()
		return nil, errors.Join(err, t.names.Close())
	}
	t.Trees = object.NewTrees(t.names, t.bucket, object.Options{Installation: id})
	return t, nil
}

// durableBy names what decides whether a database that has acknowledged a change keeps it.
func durableBy(src meta.Source) string {
	switch {
	case strings.HasPrefix(src.String(), "postgres:"):
		return "synchronous_commit=on"
	case src.Shared():
		return "innodb_flush_log_at_trx_commit=1"
	}
	return "none: SQLite waits for the disk"
}

// clean deletes what no file has needed for the time grace, until ctx ends.
func (t *objectTrees) clean(ctx context.Context, grace time.Duration, log *slog.Logger) {
	tick := time.NewTicker(cleanEvery)
	defer tick.Stop()
	for {
		n, err := t.Clean(ctx, grace)
		if n > 0 {
			log.Info("objects without a file deleted", "objects", n)
		}
		if err != nil && hufu.KindOf(err) != hufu.KindCanceled {
			log.Warn("clean-up of objects failed; it is tried again", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
