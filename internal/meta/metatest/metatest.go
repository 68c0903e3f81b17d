// Package metatest is the meaning of package meta as tests. Each database that
// meta opens passes them.
package metatest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"hufu"
	"hufu/internal/meta"
)

// Run tests a database. fresh returns the URL of a new and empty one, which is
// opened several times.
func Run(t *testing.T, fresh func(t *testing.T) string) {
	for name, test := range map[string]func(t *testing.T, url string){
		"rows":          testRows,
		"drops":         testDrops,
		"keep_logins":   testKeepLogins,
		"expiry":        testExpiry,
		"bytes":         testBytes,
		"injection":     testInjection,
		"long":          testLong,
		"twice":         testTwice,
		"all_or_none":   testAllOrNothing,
		"view":          testView,
		"version":       testVersion,
		"other_process": testOtherProcess,
		"counters":      testCounters,
		"won_once":      testWonOnce,
		"turns":         testTurns,
		"canceled":      testCanceled,
		"open_together": testOpenTogether,
		"fill":          testFill,
		"fill_refused":  testFillRefused,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, fresh(t))
		})
	}
}

// childURL makes this test program a process that changes a database.
const childURL = "HUFU_METATEST_URL"

// Main is for TestMain: the tests start their own program again, to have another
// process.
func Main(m *testing.M) int {
	url := os.Getenv(childURL)
	if url == "" {
		return m.Run()
	}
	if err := child(context.Background(), url); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// child counts, and changes a user.
func child(ctx context.Context, url string) (err error) {
	src, err := meta.Parse(url, "")
	if err != nil {
		return err //nolint:wrapcheck // a test
	}
	db, err := meta.Open(ctx, src)
	if err != nil {
		return err //nolint:wrapcheck // a test
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for range rounds {
		if err := count(ctx, db, "k"); err != nil {
			return err
		}
	}
	return db.PutUser(ctx, meta.User{Name: "child", Created: moment})
}

const rounds = 10

// count adds one to a counter. A busy database is asked again, as clients do.
func count(ctx context.Context, db *meta.DB, key string) error {
	for {
		err := db.Update(ctx, func(q meta.Queries) error {
			a, err := q.Attempts(ctx, key)
			if err != nil {
				return err //nolint:wrapcheck // a test
			}
			a.Failures++
			return q.PutAttempts(ctx, a)
		})
		if hufu.CodeOf(err) != "database_busy" {
			return err //nolint:wrapcheck // a test
		}
	}
}

var moment = time.UnixMilli(1_800_000_000_123).UTC()

func open(t *testing.T, url string) *meta.DB {
	t.Helper()
	src, err := meta.Parse(url, "")
	must(t, err)
	db, err := meta.Open(t.Context(), src)
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	return db
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func certificate(serial string) meta.Certificate {
	return meta.Certificate{
		Serial: serial, Fingerprint: [32]byte{1, 2}, Lineage: serial, SPKI: [32]byte{3}, Use: meta.UseClient, User: "alice",
		Device: "laptop", NotBefore: moment, NotAfter: moment.Add(time.Hour), Issued: moment, DER: []byte("der"),
	}
}

func invitation(hash byte, user string) meta.Invitation {
	return meta.Invitation{SecretHash: [32]byte{hash}, User: user, Created: moment, Expires: moment.Add(time.Hour)}
}

func login(hash byte, user string) meta.Login {
	return meta.Login{TokenHash: [32]byte{hash}, Lineage: "0a", User: user, Device: "laptop", Created: moment, LastUsed: moment}
}
