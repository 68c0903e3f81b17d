//go:build e2e && linux

package gui

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"hufu/test/built"
)

// Rates of a slow stretch before the server, in bytes a second.
const (
	crawl = 1 << 20
	fast  = 1 << 40
)

// slowly is a person who reaches the server over a slow stretch.
func (w *world) slowly(t *testing.T) (built.Person, *built.Slow) {
	t.Helper()
	slow, err := built.NewSlow(w.Address, fast)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(slow.Close)
	return w.join(t, slow.Address), slow
}

// bar is how far a transfer has come, in per cent.
func bar(name string) string {
	return fmt.Sprintf("Number(document.querySelector('.job[data-name=%s] [role=progressbar]')?.ariaValueNow)", quote(name))
}

// show goes to a screen by its link, or opens the transfers. They are closed
// for the files, whose lists are longer then.
func (w *window) show(screen string) {
	w.Helper()
	if open := eval[bool](w, "!!document.querySelector('.drawer.open')"); screen == "transfers" || screen == "files" && open {
		if open != (screen == "transfers") {
			w.click(".drawer .toggle")
		}
		w.until(fmt.Sprintf("!!document.querySelector('.drawer.open') === %v", screen == "transfers"))
		if screen == "transfers" {
			return
		}
	}
	link := "nav a[href='#/" + screen + "']"
	if screen == "wire" { // a part of another one
		w.show("handshake")
	}
	if eval[bool](w, find(link)+"?.offsetParent === null") { // on a phone the sidebar is behind a button
		w.click("header button[aria-controls=sidebar]")
	}
	w.click(link)
	w.until("document.querySelector('main." + screen + "')")
}

// answer settles a conflict.
func (w *window) answer(policy string) {
	w.Helper()
	w.click("dialog input[value=" + policy + "]")
	w.click("dialog .primary")
}

// upload chooses names of this computer and sends them.
func (w *window) upload(names ...string) {
	w.Helper()
	w.show("files")
	for i, n := range names {
		if i == 0 {
			w.pick("local", n)
		} else {
			w.pick("local", n, chromedp.ButtonModifiers(chromedp.ModifierCtrl))
		}
	}
	w.click("section.pane .tools .primary")
	w.until("document.querySelector('.notice:not(.error)')")
}

// TestPauseResumeAndClosedPage: a transfer stops and goes on by a button, and
// does not need the page.
func TestPauseResumeAndClosedPage(t *testing.T) {
	w := newWorld(t)
	alice, slow := w.slowly(t)
	data := random(12 << 20)
	write(t, filepath.Join(alice.Home, "big.bin"), data)
	browser := enter(t, sit(t, alice)) // stays open and keeps the cookies
	address := strings.TrimSuffix(eval[string](browser, "location.origin"), "/")
	p := browser.another()
	p.goTo(address + "/")
	p.until("document.querySelector('main.files')")
	slow.Rate(crawl)
	p.upload("big.bin")
	p.show("transfers")
	p.until(bar("big.bin") + " >= 10")
	p.click("=Pause big.bin")
	p.job("big.bin", "paused")
	for _, fact := range []string{"Upload", "→", "MiB of 12.0 MiB", "paused"} {
		p.sees(fact)
	}
	if err := built.Eventually("nothing passes while it is paused", func() bool {
		before := slow.Passed()
		time.Sleep(100 * time.Millisecond) // the time in which something would have passed
		return slow.Passed() == before
	}); err != nil {
		t.Fatal(err)
	}
	p.click("=Resume big.bin")
	p.job("big.bin", "running")
	p.until(bar("big.bin") + " >= 0")
	at := eval[float64](p, bar("big.bin"))
	p.close()

	if err := built.Eventually("it goes on without a page", func() bool { return slow.Passed() > 5<<20 }); err != nil {
		t.Fatal(err)
	}
	p = browser.another()
	p.goTo(address + "/")
	p.show("transfers")
	p.job("big.bin", "running")
	p.until(bar("big.bin") + " > " + fmt.Sprint(at))
	for _, fact := range []string{"MiB/s", "left", "lane"} {
		p.sees(fact)
	}
	slow.Rate(fast)
	p.job("big.bin", "done")
	p.sees("already there")
	p.sees(`Uploaded "big.bin" to "My files".`)
	same(t, w.served("big.bin"), data)
	p.click("=Clear finished")
	p.sees("No transfers yet")
}

// TestServerKilledAndBack: the page says that the server is away, and all goes
// on by itself when it is back.
func TestServerKilledAndBack(t *testing.T) {
	w := newWorld(t)
	alice, slow := w.slowly(t)
	data := random(12 << 20)
	write(t, filepath.Join(alice.Home, "big.bin"), data)
	p := enter(t, sit(t, alice))
	slow.Rate(crawl)
	p.upload("big.bin")
	p.show("transfers")
	p.until(bar("big.bin") + " >= 10")
	if err := w.Kill(); err != nil {
		t.Fatal(err)
	}
	p.job("big.bin", "offline")
	p.sees("reconnecting…")
	p.show("files")
	p.sees("The server cannot be reached. Reconnecting…")
	p.until("document.querySelector('.pane.remote .grid.stale')")
	p.until("!document.querySelector('.pane.local .grid.stale')")
	if n := eval[int](p, "document.querySelectorAll('.banner, .trouble').length"); n != 1 {
		t.Errorf("%d lines tell that the server is away", n)
	}
	if foot := p.text(".pane.remote .foot"); strings.Contains(foot, "item") {
		t.Errorf("with the server away the pane says %q", foot)
	}
	p.until("document.querySelector('.who.away')?.innerText.includes('not connected')")
	slow.Rate(fast)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	p.show("transfers")
	p.job("big.bin", "done")
	same(t, w.served("big.bin"), data)
	p.show("files")
	p.until(row("remote", "big.bin"))
	p.until("!document.querySelector('.trouble') && !document.querySelector('.banner') && !document.querySelector('.who.away')")
}

// TestProgramKilledAndStartedAgain: the queue is what it was, and what ran goes
// on from where it was.
func TestProgramKilledAndStartedAgain(t *testing.T) {
	w := newWorld(t)
	alice, slow := w.slowly(t)
	data, later := random(12<<20), random(2<<20+1)
	write(t, filepath.Join(alice.Home, "big.bin"), data)
	write(t, filepath.Join(alice.Home, "later.bin"), later)
	d := sit(t, alice)
	p := enter(t, d)
	slow.Rate(crawl)
	p.upload("later.bin")
	p.show("transfers")
	p.click("=Pause later.bin")
	p.job("later.bin", "paused")
	p.upload("big.bin")
	p.show("transfers")
	p.until(bar("big.bin") + " >= 20")
	d.kill()
	p.sees("hufu gui does not respond.")

	q := enter(t, sit(t, alice))
	q.show("transfers")
	q.job("big.bin", "running")
	q.job("later.bin", "paused")
	slow.Rate(fast)
	q.job("big.bin", "done")
	q.sees("already there")
	same(t, w.served("big.bin"), data)
	q.job("later.bin", "paused")
	q.click("=Resume later.bin")
	q.job("later.bin", "done")
	same(t, w.served("later.bin"), later)
}

// TestFileRemovedWhileQueued: the others go on, the one that is gone says so
// and what to do, until somebody has seen it.
func TestFileRemovedWhileQueued(t *testing.T) {
	w := newWorld(t)
	alice, slow := w.slowly(t)
	for _, n := range []string{"1", "2", "3", "gone"} {
		write(t, filepath.Join(alice.Home, n+".bin"), random(3<<20))
	}
	p := enter(t, sit(t, alice))
	slow.Rate(crawl)
	for _, n := range []string{"1.bin", "2.bin", "3.bin", "gone.bin"} {
		p.upload(n)
	}
	p.show("transfers")
	p.job("gone.bin", "waiting")
	if err := os.Remove(filepath.Join(alice.Home, "gone.bin")); err != nil {
		t.Fatal(err)
	}
	slow.Rate(fast)
	p.job("3.bin", "done")
	p.job("gone.bin", "failed")
	p.until("document.querySelector('.job.failed .trouble p').innerText.length > 10")
	p.click("=Clear finished")
	p.until("document.querySelectorAll('.job').length === 1") // the failed one stays
	back := random(100)
	write(t, filepath.Join(alice.Home, "gone.bin"), back)
	p.click("=Retry failed")
	p.job("gone.bin", "done")
	same(t, w.served("gone.bin"), back)
	p.until("!document.querySelector('.job .trouble')")
}

// small gives a folder a disk of its own of so many MiB.
func small(t *testing.T, dir string, mib int) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=700", mib)); err != nil {
		t.Fatalf("a small disk needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// TestFullDisk: what does not fit is told before it is taken over, and a
// download that fills the disk says so and can be tried again.
func TestFullDisk(t *testing.T) {
	w := newWorld(t)
	home := filepath.Join(t.TempDir(), "alice")
	small(t, filepath.Join(home, ".local", "state", "hufu"), 100)
	small(t, filepath.Join(home, "small"), 4)
	alice, err := w.Enroll(home, "alice", "")
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := t.TempDir()
	large, fits := filepath.Join(elsewhere, "large.bin"), filepath.Join(elsewhere, "fits.bin")
	write(t, large, random(40<<20))
	write(t, fits, random(1<<20))
	data := random(8 << 20)
	write(t, w.served("down.bin"), data)
	p := enter(t, sit(t, alice))
	p.do(chromedp.SetUploadFiles("#choose-files", []string{large}))
	p.sees("Not enough space on this computer to prepare the files: 40 MiB needed")
	p.sees("Free some space")
	p.click("=Dismiss")
	p.until("!document.querySelector('.notice')")
	p.dropFiles("section.pane.remote .grid", large) // by a drop as well
	p.sees("Not enough space on this computer to prepare the files: 40 MiB needed")
	p.do(chromedp.SetUploadFiles("#choose-files", []string{fits}))
	p.until(row("remote", "fits.bin"))
	if _, err := os.Stat(w.served("large.bin")); !os.IsNotExist(err) {
		t.Errorf("something of it has arrived: %v", err)
	}

	p.enterFolder("local", "small")
	p.sees("This folder is empty.")
	p.pick("remote", "down.bin")
	p.click("=Download")
	p.show("transfers")
	p.job("down.bin", "failed")
	said := p.text(".job.failed .trouble")
	if !strings.Contains(said, "full") && !strings.Contains(said, "space") && !strings.Contains(said, "room") {
		t.Errorf("a full disk is told as %q", said)
	}
	if err := syscall.Mount("tmpfs", filepath.Join(home, "small"), "tmpfs", syscall.MS_REMOUNT, "size=64m,mode=700"); err != nil {
		t.Fatal(err)
	}
	p.click("=Retry down.bin")
	p.job("down.bin", "done")
	same(t, filepath.Join(home, "small", "down.bin"), data)
}

// TestAtLogin: what a desktop starts prints nothing, and a later hufu gui opens its page.
func TestAtLogin(t *testing.T) {
	w := newWorld(t)
	alice := w.join(t, "")
	cmd := alice.Command(t.Context(), "gui", "--at-login")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end := sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if _, err := built.Code(cmd, cmd.Wait()); err != nil || said.Len() > 0 {
			t.Errorf("at login: %v %q", err, &said)
		}
	})
	t.Cleanup(end)
	if err := built.Eventually("the page runs", func() bool {
		_, err := os.Stat(filepath.Join(alice.Home, ".local/state/hufu/gui.json"))
		return err == nil
	}); err != nil {
		t.Fatal(err)
	}
	if r, err := alice.Run("gui", "--at-login"); err != nil || r.Code != 0 || r.Out+r.Err != "" {
		t.Errorf("at login once more: %v %v", r, err)
	}
	r, err := alice.Run("gui", "--no-open")
	if err != nil || r.Code != 0 {
		t.Fatalf("later: %v %v", r, err)
	}
	p := browser.open(t)
	p.goTo(strings.TrimSpace(r.Out))
	p.until("document.querySelector('main.login')")
	end()
}

// TestTwoAtOnce: a second hufu gui opens a window of the first.
func TestTwoAtOnce(t *testing.T) {
	w := newWorld(t)
	alice := w.join(t, "")
	write(t, filepath.Join(alice.Home, "a.txt"), []byte("a"))
	p := enter(t, sit(t, alice))
	r, err := alice.Run("gui", "--no-open")
	if err != nil || r.Code != 0 {
		t.Fatalf("the second: %v %v", r, err)
	}
	q := browser.open(t)
	q.goTo(strings.TrimSpace(r.Out))
	q.until("document.querySelector('main.files')")
	p.upload("a.txt")
	q.until(row("remote", "a.txt"))
	q.show("transfers")
	q.job("a.txt", "done")
	q.click("=Log out")
	q.until("document.querySelector('main.login')")
	p.until("document.querySelector('main.login')") // here too
}

// TestGivenUp: a download that is given up leaves nothing, whether it is running
// or paused.
func TestGivenUp(t *testing.T) {
	w := newWorld(t)
	alice, slow := w.slowly(t)
	write(t, w.served("big.bin"), random(12<<20))
	p := enter(t, sit(t, alice))
	for _, paused := range []bool{true, false} {
		slow.Rate(2 * crawl)
		p.show("files")
		p.pick("remote", "big.bin")
		p.click("=Download")
		p.show("transfers")
		p.until(bar("big.bin") + " >= 10")
		if paused {
			p.click("=Pause big.bin")
			p.job("big.bin", "paused")
		}
		p.click("=Stop big.bin")
		p.sees("What has arrived of the others is removed.")
		p.click("=Stop")
		p.job("big.bin", "canceled")
		slow.Rate(fast)
		if err := built.Eventually("what had arrived is removed", func() bool {
			left, _ := filepath.Glob(filepath.Join(alice.Home, "*big*"))
			hidden, _ := filepath.Glob(filepath.Join(alice.Home, ".hufu-*"))
			return len(left)+len(hidden) == 0
		}); err != nil {
			t.Error(err)
		}
		p.click("=Remove big.bin from the list")
		p.until("!document.querySelector('.job')")
	}
}

// TestConflicts: each answer to the question what to do with a name that holds
// something else.
func TestConflicts(t *testing.T) {
	w := newWorld(t)
	alice := w.join(t, "")
	past, future := time.Now().Add(-time.Hour), time.Now().Add(-time.Minute)
	names := []string{"folded", "later", "newer-no", "newer-yes", "rename", "replace", "skip"}
	for _, n := range names {
		write(t, filepath.Join(alice.Home, n+".txt"), []byte("mine of "+n))
		write(t, w.served(n+".txt"), []byte("theirs, "+n))
		mine, theirs := past, future
		if n == "newer-yes" {
			mine, theirs = future, past
		}
		for path, at := range map[string]time.Time{filepath.Join(alice.Home, n+".txt"): mine, w.served(n + ".txt"): theirs} {
			if err := os.Chtimes(path, at, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	p := enter(t, sit(t, alice))
	asked := func(name string) {
		t.Helper()
		p.until("document.querySelector('dialog h2')?.innerText === " + quote(`"`+name+`.txt" already exists in "My files"`))
	}
	for _, n := range names {
		policy, _, _ := strings.Cut(n, "-")
		if n == "folded" {
			policy = "replace"
		}
		p.upload(n + ".txt")
		asked(n)
		if n == "folded" {
			// Both sides are told: size, date, which is newer, and the digest when it is asked for.
			p.until("document.querySelector('dialog input[value=rename]').checked")
			eval[chromedp.Void](p, "document.querySelectorAll('dialog details').forEach(e => e.open = true)")
			p.until("[...document.querySelectorAll('dialog .digest')].filter(e => e.innerText.length === 64).length === 2")
			for _, fact := range []string{"Yours", "On the server", "14 B", "newer", "older", "Your file is uploaded under a new name.", past.Format("2006-01-02 15:04"), future.Format("2006-01-02 15:04")} {
				p.sees(fact)
			}
			p.audit("conflict")
		}
		if skips := strings.Contains(p.text("dialog label:has([value=newer])"), "Yours is older: it would be skipped."); skips != (n != "newer-yes") {
			t.Errorf("%s: it is said to be skipped if newer: %v", n, skips)
		}
		if n == "later" {
			p.click("=Decide later")
			p.show("transfers")
			p.sees("waiting for your answer")
			p.click("=Answer…")
			asked(n)
			policy = "skip"
		}
		p.answer(policy)
		p.until("!document.querySelector('dialog')")
		p.show("transfers")
		p.until(fmt.Sprintf("['done', 'failed'].includes(document.querySelector('.job[data-name=%s]')?.dataset.state)", quote(n+".txt")))
	}
	for n, want := range map[string]string{
		"folded": "mine of folded", "later": "theirs, later", "newer-no": "theirs, newer-no", "newer-yes": "mine of newer-yes",
		"rename": "theirs, rename", "replace": "mine of replace", "skip": "theirs, skip",
	} {
		same(t, w.served(n+".txt"), []byte(want))
	}
	kept, err := filepath.Glob(w.served("rename*"))
	if err != nil || len(kept) != 2 {
		t.Fatalf("both are kept: %v %v", kept, err)
	}
	for _, k := range kept {
		if k != w.served("rename.txt") {
			same(t, k, []byte("mine of rename"))
		}
	}

	// In the other direction, once for all.
	some := []string{"later.txt", "newer-no.txt", "skip.txt"}
	p.show("files")
	for i, n := range some {
		if i == 0 {
			p.pick("remote", n)
		} else {
			p.pick("remote", n, chromedp.ButtonModifiers(chromedp.ModifierCtrl))
		}
	}
	p.click("=Download")
	p.until("document.querySelector('dialog input[type=checkbox]')")
	p.click("dialog input[type=checkbox]")
	p.answer("replace")
	p.show("transfers")
	p.until("document.querySelector('.job')?.dataset.state === 'done'")
	for _, n := range some {
		same(t, filepath.Join(alice.Home, n), []byte("theirs, "+strings.TrimSuffix(n, ".txt")))
	}
}
