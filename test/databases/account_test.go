//go:build e2e && linux

package databases

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hufu"
	"hufu/internal/account"
	"hufu/internal/meta"
)

// TestTwoServers: the accounts of two servers on one database. What one makes,
// the other knows before it refuses; what one takes away, the other notices.
func TestTwoServers(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		ctx, at := t.Context(), e.fresh(t)
		db := open(t, at)
		a, err := account.Open(ctx, db, account.Options{Judges: true})
		must(t, err)
		var shift atomic.Int64
		b, err := account.Open(ctx, open(t, at), account.Options{Judges: true, Now: func() time.Time { return time.Now().Add(time.Duration(shift.Load())) }})
		must(t, err)
		const password = "correct horse"
		fp := sha256.Sum256([]byte("a1"))
		must(t, a.AddUser(ctx, "alice", false), a.SetPassword(ctx, "alice", password))
		must(t, db.AddCertificate(ctx, meta.Certificate{
			Serial: "a1", Fingerprint: fp, Lineage: "a1", Use: meta.UseClient, User: "alice", Device: "laptop",
			NotBefore: moment, NotAfter: time.Now().Add(2 * account.LoginLife), Issued: moment,
		}))
		sub, err := b.AdmitOrLook(ctx, "a1", fp)
		must(t, err, a.Reload(ctx))
		if _, err := b.AdmitOrLook(ctx, "nosuch", fp); hufu.CodeOf(err) != "cert_unknown" {
			t.Error(err)
		}
		token, err := a.Login(ctx, sub, password)
		must(t, err, b.ResumeOrLook(ctx, sub, token))

		// In use at the other one, which is no change that is noticed.
		must(t, db.TouchLogin(ctx, sha256.Sum256([]byte(token)), time.Now().Add(account.LoginLife/2)))
		shift.Store(int64(account.LoginLife + time.Hour))
		must(t, b.ResumeOrLook(ctx, sub, token))
		shift.Store(0)

		run, stop := context.WithCancel(ctx)
		over, noticed := make(chan error), make(chan struct{}, 100)
		b.OnChange(func() { noticed <- struct{}{} })
		go func() { over <- b.Run(run) }()
		must(t, a.Revoke(ctx, "a1", "lost"))
		select {
		case <-noticed:
		case <-time.After(patience):
			t.Fatal("not noticed")
		}
		if _, err := b.Admit("a1", fp); hufu.CodeOf(err) != "cert_revoked_reason" {
			t.Error(err)
		}
		stop()
		must(t, <-over)

		// Guesses are counted for both.
		for i := range 10 {
			err = []*account.Service{a, b}[i%2].Prove(ctx, "alice", "laptop", "wrong")
			must(t, db.Update(ctx, func(q meta.Queries) error { // no waiting
				tries, err := q.Attempts(ctx, "login/alice/laptop")
				if i < 9 {
					tries.Until = time.Time{}
				}
				if err != nil || tries.Failures != i+1 {
					t.Errorf("%d guesses: %+v, %v", i+1, tries, err)
				}
				return q.PutAttempts(ctx, tries)
			}))
			if hufu.CodeOf(err) != "wrong_password" {
				t.Error(err)
			}
		}
		if err := a.Prove(ctx, "alice", "laptop", password); hufu.CodeOf(err) != "login_locked_out" {
			t.Error(err)
		}
	})
}

// TestNodesConfirm: servers on one database know of each other, and each says what it acts on.
func TestNodesConfirm(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		ctx, at := t.Context(), e.fresh(t)
		db := open(t, at)
		a, err := account.Open(ctx, db, account.Options{Judges: true})
		must(t, err)
		b, err := account.Open(ctx, open(t, at), account.Options{Judges: true})
		must(t, err)
		want := meta.Node{ID: meta.NewID(), Folder: [32]byte{2}, Address: "b:1", Program: "1", Root: [32]byte{3}, Files: "s3://x"}
		if others, err := a.Join(ctx, meta.Node{ID: meta.NewID(), Folder: [32]byte{1}, Address: "a:1"}, nil); err != nil || len(others) != 0 {
			t.Error(others, err)
		}
		earlier := want
		earlier.ID = meta.NewID()
		must(t, db.Beat(ctx, earlier)) // a run on the same folder that was killed
		others, err := b.Join(ctx, want, nil)
		if must(t, err); len(others) != 1 || others[0].Address != "a:1" {
			t.Error(others)
		}
		others, err = a.Others(ctx)
		if must(t, err); len(others) != 1 {
			t.Fatal(others)
		}
		got := others[0]
		if got.Age < 0 || got.Age > account.NodeLife || got.At == 0 || got.Started != time.UnixMilli(got.At).UTC() {
			t.Errorf("%+v", got)
		}
		if late, err := a.Await(ctx, 0); err != nil || len(late) != 0 {
			t.Error("nothing has changed:", late, err)
		}
		got.Age, got.Started, got.At, got.Known = 0, time.Time{}, 0, meta.Version{}
		if got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
		must(t, a.AddUser(ctx, "alice", false))
		if late, err := a.Await(ctx, 0); err != nil || len(late) != 1 || late[0].ID != want.ID {
			t.Error(late, err)
		}

		// Confirmed when its connections have been judged, not before.
		run, stop := context.WithCancel(ctx)
		over, told, judging, judged := make(chan error), make(chan error), make(chan struct{}), make(chan struct{})
		b.OnChange(func() { close(judging); <-judged })
		go func() { told <- b.Reload(ctx) }()
		<-judging
		go func() { over <- b.Run(run) }() // it finds nothing new
		if late, err := a.Await(ctx, 3*account.PollInterval); err != nil || len(late) != 1 {
			t.Error("confirmed too early:", late, err)
		}
		close(judged)
		must(t, <-told)
		if late, err := a.Await(ctx, patience); err != nil || len(late) != 0 {
			t.Error(late, err)
		}
		stop()
		must(t, <-over)
		if others, err := a.Others(ctx); err != nil || len(others) != 0 {
			t.Error("it has ended:", others, err)
		}
	})
}

// TestANodeLeavesThoughItCannotWrite: a node that ends says so, though the last uses of its logins
// wait for another's Update.
func TestANodeLeavesThoughItCannotWrite(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		ctx, at := t.Context(), e.fresh(t)
		db := open(t, at)
		var shift atomic.Int64
		a, err := account.Open(ctx, open(t, at), account.Options{Judges: true, Now: func() time.Time { return time.Now().Add(time.Duration(shift.Load())) }})
		must(t, err)
		const password = "correct horse"
		fp := sha256.Sum256([]byte("a1"))
		must(t, a.AddUser(ctx, "alice", false), a.SetPassword(ctx, "alice", password))
		must(t, db.AddCertificate(ctx, meta.Certificate{
			Serial: "a1", Fingerprint: fp, Lineage: "a1", Use: meta.UseClient, User: "alice", Device: "laptop",
			NotBefore: moment, NotAfter: time.Now().Add(2 * account.LoginLife), Issued: moment,
		}))
		sub, err := a.AdmitOrLook(ctx, "a1", fp)
		must(t, err)
		token, err := a.Login(ctx, sub, password)
		must(t, err)
		_, err = a.Join(ctx, meta.Node{ID: meta.NewID(), Folder: [32]byte{1}, Address: "a:1"}, nil)
		must(t, err)
		shift.Store(int64(2 * time.Hour)) // its last use is to be written
		must(t, a.Reload(ctx), a.Resume(ctx, sub, token))
		run, stop := context.WithCancel(ctx)
		over := make(chan error, 1)
		first := true
		must(t, db.Update(ctx, func(meta.Queries) error {
			if first {
				first = false
				stop()
				go func() { over <- a.Run(run) }()
				must(t, <-over)
				if nodes, err := db.Nodes(ctx); err != nil || len(nodes) != 0 {
					t.Errorf("it has ended: %+v, %v", nodes, err)
				}
			}
			return nil
		}))
	})
}

// TestATransferWaits: without the database a transfer waits until it is known again who may what.
func TestATransferWaits(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		ctx, l := t.Context(), e.link(t)
		var shift atomic.Int64
		said := make(lines, 10)
		acc, err := account.Open(ctx, open(t, e.at(l.address, e.create(t))), account.Options{
			Judges: true, Log: slog.New(slog.NewTextHandler(said, nil)),
			Now: func() time.Time { return time.Now().Add(time.Duration(shift.Load())) },
		})
		must(t, err, acc.Keep(ctx))
		shift.Add(int64(time.Second))
		must(t, acc.Keep(ctx)) // it is looked up
		l.sever()
		shift.Add(int64(time.Second))
		over := make(chan error, 1)
		go func() { over <- acc.Keep(ctx) }()
		for !strings.Contains(<-said, "accounts cannot be read") {
		}
		select {
		case err := <-over:
			t.Error("it has not waited:", err)
		default:
		}
		l.mend()
		must(t, <-over)
		l.sever()
		shift.Add(int64(account.StateLimit))
		if err := acc.Keep(ctx); hufu.CodeOf(err) != "state_stale" {
			t.Error(err)
		}
	})
}

// lines takes what is logged.
type lines chan string

func (l lines) Write(line []byte) (int, error) {
	l <- string(line)
	return len(line), nil
}

// TestCallersRunAgain: an update that is run again reports what its last run
// did.
func TestCallersRunAgain(t *testing.T) {
	t.Parallel()
	e, err := postgres()
	must(t, err)
	ctx, l, name := t.Context(), e.link(t), e.create(t)
	acc, err := account.Open(ctx, open(t, e.at(l.address, name)+"?sslmode=disable"), account.Options{Judges: true})
	must(t, err)
	raw := e.in(t, name)
	crossed := 0
	cross := func(word, statement string) {
		l.before(word, func() {
			crossed++
			if _, err := raw.ExecContext(ctx, statement); err != nil {
				t.Error(err)
			}
		})
	}

	cross("INSERT INTO users", "INSERT INTO users VALUES ('alice', false, '', 1, 0, 0)")
	made, err := acc.Invite(ctx, "alice", 0)
	if err != nil || made.NewUser {
		t.Errorf("%+v, %v: another call has made the user", made, err)
	}
	for range 2 {
		_, err = acc.Invite(ctx, "alice", 0)
		must(t, err)
	}
	// The last of three, after the others were counted.
	cross("DELETE FROM invitations WHERE secret_hash", `UPDATE invitations SET used_serial = 'x' WHERE secret_hash =
		(SELECT secret_hash FROM invitations ORDER BY created_at DESC, secret_hash DESC LIMIT 1)`)
	n, err := acc.RevokeInvitations(ctx, "alice")
	if err != nil || n != 3 || crossed != 2 {
		t.Errorf("revoked %d, %v, crossed %d times", n, err, crossed)
	}
}

// TestRevokedWhileANodeJoins: what is taken away before the others know of a new node is known to it
// before it serves, because no command waits for it.
func TestRevokedWhileANodeJoins(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		ctx, name, l := t.Context(), e.create(t), e.link(t)
		through := e.at(l.address, name) + "?sslmode=disable"
		if e.name == "postgres" {
			through += "&default_query_exec_mode=describe_exec" // each statement is spelled out
		}
		db := open(t, e.at(e.address, name))
		a, err := account.Open(ctx, db, account.Options{Judges: true})
		must(t, err, a.AddUser(ctx, "alice", false))
		b, err := account.Open(ctx, open(t, through), account.Options{Judges: true, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
		must(t, err)
		fp := sha256.Sum256([]byte("a1"))
		must(t, db.AddCertificate(ctx, meta.Certificate{
			Serial: "a1", Fingerprint: fp, Lineage: "a1", Use: meta.UseClient, User: "alice", Device: "laptop",
			NotBefore: moment, NotAfter: time.Now().Add(time.Hour), Issued: moment,
		}))
		came := false
		l.before("INSERT INTO nodes", func() {
			came = true
			must(t, a.Revoke(ctx, "a1", ""))
			if late, err := a.Await(ctx, 0); err != nil || len(late) != 0 {
				t.Error(late, err)
			}
		})
		_, err = b.Join(ctx, meta.Node{ID: meta.NewID()}, nil)
		if must(t, err); !came {
			t.Fatal("it was not a node")
		}
		if _, err := b.Admit("a1", fp); hufu.CodeOf(err) != "cert_revoked" {
			t.Error("a node that has joined admits a certificate that was revoked before:", err)
		}
	})
}

// TestMisfitsThatStartTogether: of two nodes that do not fit, one gives way, even if they start at
// the same time, or if one was frozen for so long that the other has taken it for dead.
func TestMisfitsThatStartTogether(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		ctx, at := t.Context(), e.fresh(t)
		join := func(i byte) (*account.Service, error) {
			s, err := account.Open(ctx, open(t, at), account.Options{Judges: true})
			must(t, err)
			_, err = s.Join(ctx, meta.Node{ID: meta.RandomID(), Folder: [32]byte{i}, Address: "a:1"}, func(meta.Node) error {
				return &hufu.Error{Op: "join", Kind: hufu.KindUsage, Code: "node_disk"}
			})
			return s, err
		}
		run, stop := context.WithCancel(ctx)
		defer stop()
		over := make(chan error)
		var both []*account.Service
		for i := range 2 { // each has joined before either runs: neither has seen the other one write
			s, err := join(byte(i + 1))
			must(t, err)
			both = append(both, s)
		}
		for _, s := range both {
			go func() { over <- s.Run(run) }()
		}
		select {
		case err := <-over:
			if hufu.CodeOf(err) != "node_disk" {
				t.Fatal(err)
			}
		case <-time.After(patience):
			t.Fatal("both have started")
		}
		if os.Getenv("HUFU_LARGE") != "" {
			stop()
			must(t, <-over)
			frozen, err := join(3)
			must(t, err)
			time.Sleep(account.NodeLife + time.Second)
			other, err := join(4)
			must(t, err)
			run, stop = context.WithCancel(ctx)
			defer stop()
			go func() { over <- other.Run(run) }()
			if err := frozen.Run(run); hufu.CodeOf(err) != "node_disk" {
				t.Error("one that was frozen goes on:", err)
			}
		}
		select {
		case err := <-over:
			t.Error("the other one has ended, too:", err)
		case <-time.After(5 * account.PollInterval):
		}
		stop()
		must(t, <-over)
	})
}
