//go:build e2e && linux

package gui

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"hufu/test/built"
)

// random is bytes that no compression and no digest cache can guess.
func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(n), byte(n >> 8)}).Read(b)
	return b
}

// served is where a file of alice's lies at the server.
func (w *world) served(path string) string {
	return filepath.Join(w.Data, "files", "users", "alice", filepath.FromSlash(path))
}

func same(t *testing.T, path string, want []byte) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s: %d bytes, want %d (%v)", path, len(got), len(want), err)
	}
}

func TestJoinByInvitation(t *testing.T) {
	w := newWorld(t)
	home := filepath.Join(t.TempDir(), "bob")
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	code, err := w.Invite("bob", "")
	if err != nil {
		t.Fatal(err)
	}
	bob := built.NewPerson(bin, home)
	d := sit(t, bob)
	p := browser.open(t)
	p.goTo(d.start)
	p.sees("Paste the invitation code")
	other := "x"
	if strings.HasSuffix(code, other) {
		other = "y"
	}
	p.fill("textarea", code[:len(code)-1]+other)
	p.sees("This is not a valid invitation code")
	p.fill("textarea", code)
	p.sees("CA fingerprint in words")
	p.audit("join")
	p.fill("input[aria-describedby=join-short]", built.Password)
	p.fill("input[aria-describedby=join-again]", "something else")
	p.sees("The passwords do not match.")
	p.fill("input[aria-describedby=join-again]", built.Password)
	p.click("=Join")
	p.until("document.querySelector('main.files')")
	p.sees("bob")
	if r, err := bob.Run("whoami"); err != nil || r.Code != 0 || !strings.Contains(r.Out, "bob") {
		t.Errorf("whoami: %v %v", r, err)
	}
}

// TestJoinOverADeadProfile: who is told that the certificate was revoked joins
// again under the same name, and is in.
func TestJoinOverADeadProfile(t *testing.T) {
	w := newWorld(t)
	alice := w.join(t, "")
	d := sit(t, alice)
	p := browser.open(t)
	p.goTo(d.start)
	p.sees("Verified identities")
	join := func() {
		t.Helper()
		code, err := w.Invite("alice", "")
		if err != nil {
			t.Fatal(err)
		}
		p.until("document.querySelector('.login select')")
		eval[chromedp.Void](p, `(() => { const e = document.querySelector('.login select'); e.value = '+'; e.dispatchEvent(new Event('change', {bubbles: true})) })()`)
		p.fill("textarea", code)
		p.sees("CA fingerprint in words")
		p.fill("input[aria-describedby=join-short]", built.Password)
		p.fill("input[aria-describedby=join-again]", built.Password)
		p.fill("input[pattern]", "default")
		p.click("=Join")
	}
	join()
	p.sees("The profile \"default\" already exists.")
	if r, err := w.Admin("cert", "revoke", "--user", "alice", "--reason", "laptop lost"); err != nil || r.Code != 0 {
		t.Fatal(r, err)
	}
	p.goTo(d.address)
	p.sees("laptop lost")
	join()
	p.until("document.querySelector('main.files')")
	if r, err := alice.Run("ls"); err != nil || r.Code != 0 {
		t.Errorf("the command line is not in: %v %v", r, err)
	}
}

func TestWrongPasswordIsToldAndRightOneEnters(t *testing.T) {
	w := newWorld(t)
	alice := w.join(t, "")
	if r, err := alice.Run("logout"); err != nil || r.Code != 0 {
		t.Fatal(r, err)
	}
	d := sit(t, alice)
	p := browser.open(t)
	p.goTo(d.start)
	p.sees("TLS 1.3, key exchange resists quantum computers")
	p.until("document.querySelectorAll('.ticks .proof > .icon').length === 3")
	p.unfold()
	p.sees("X25519MLKEM768")
	p.fill("input[type=password]", "not it")
	p.click("=Log in")
	p.until("document.querySelector('form .trouble')")
	p.fill("input[type=password]", built.Password)
	p.click("=Log in")
	p.until("document.querySelector('main.files')")
	// The stream of events may tell that nobody is logged in before the answer to the logout comes.
	eval[chromedp.Void](p, `(f => { window.fetch = async (to, o) => { const r = await f(to, o); if (!to.endsWith('/logout')) return r; `+
		`while (!document.querySelector('main.login .proofs')) await new Promise(requestAnimationFrame); setTimeout(() => { window.answered = true }); return r } })(fetch.bind(window))`)
	p.click("=Log out")
	p.until("window.answered")
	p.until("document.querySelector('main.login .proofs') && !document.querySelector('main.login .primary').disabled")
	p.goTo(d.address + "/")
	p.until("document.querySelector('main.login')")
}

func TestChooserAndDropOfAFolder(t *testing.T) {
	w := newWorld(t)
	alice := w.join(t, "")
	elsewhere := t.TempDir()
	one, two := random(5), random(3<<20)
	strange := "<b>名 😀\u202egnp.txt\nline"
	write(t, filepath.Join(elsewhere, "one.bin"), one)
	write(t, filepath.Join(elsewhere, "tree", "deep", "er", "two.bin"), two)
	write(t, filepath.Join(elsewhere, "tree", strange), []byte("strange"))
	if err := os.Mkdir(filepath.Join(elsewhere, "tree", "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	p := enter(t, sit(t, alice))
	p.do(chromedp.SetUploadFiles("#choose-files", []string{filepath.Join(elsewhere, "one.bin")}))
	p.until(row("remote", "one.bin"))
	same(t, w.served("one.bin"), one)

	p.dropFiles("section.pane:nth-of-type(2) .grid", filepath.Join(elsewhere, "tree"))
	p.until(row("remote", "tree"))
	p.show("transfers")
	p.job("tree", "done")
	same(t, w.served("tree/deep/er/two.bin"), two)
	same(t, w.served("tree/"+strange), []byte("strange"))
	if i, err := os.Stat(w.served("tree/empty")); err != nil || !i.IsDir() {
		t.Errorf("the empty folder: %v", err)
	}
	p.until("document.querySelectorAll('.job').length === 2")

	// The name with markup is text, and what could turn it round is shown as a mark.
	p.show("files")
	p.enterFolder("remote", "tree")
	shown := `<b>名 😀\u202egnp.txt\x0aline`
	p.until(row("remote", shown))
	if n := eval[int](p, "document.querySelectorAll('.pane b').length"); n != 0 {
		t.Error("a name has become markup")
	}
	// Nothing stays in the spool.
	if left, _ := os.ReadDir(filepath.Join(alice.Home, ".local/state/hufu/spool")); len(left) > 0 {
		t.Errorf("left in the spool: %v", left)
	}
}

func TestRenameMoveDeleteProperties(t *testing.T) {
	w := newWorld(t)
	alice := w.join(t, "")
	write(t, filepath.Join(alice.Home, "a.txt"), []byte("a"))
	write(t, filepath.Join(alice.Home, "b.txt"), []byte("b"))
	p := enter(t, sit(t, alice))
	p.pick("local", "a.txt")
	p.pick("local", "b.txt", chromedp.ButtonModifiers(chromedp.ModifierShift))
	p.click("=Upload")
	p.until(row("remote", "a.txt") + " && " + row("remote", "b.txt"))

	p.act("remote", "folder")
	p.fill("dialog input", "folder")
	p.click("=Create")
	p.until(row("remote", "folder"))

	p.pick("remote", "a.txt")
	p.act("remote", "rename")
	p.sees(`Rename "a.txt"`)
	p.fill("dialog input", "b.txt")
	p.click("dialog .primary")
	p.until("document.querySelector('dialog .trouble')") // taken
	p.fill("dialog input", "c & <i>.txt")
	p.click("dialog .primary")
	p.until(row("remote", "c & <i>.txt"))

	p.pick("remote", "b.txt")
	p.act("remote", "move")
	p.sees(`Move "b.txt"`)
	p.until("document.querySelector('dialog .primary[aria-disabled=true]')?.title === 'It is already in this folder.'")
	p.click("dialog .folders button:last-child")
	p.click("=Move here")
	p.until("!" + row("remote", "b.txt"))
	same(t, w.served("folder/b.txt"), []byte("b"))

	p.pick("remote", "c & <i>.txt")
	p.act("remote", "more")
	p.click("=Properties")
	p.until("document.querySelector('dialog .digest')?.innerText.length === 64")
	p.click("=Verify")
	p.sees("the bytes match the digest")
	p.sees("rw-r--r-- (0644)")
	p.audit("properties")
	p.click("=Close")

	p.pick("remote", "folder", chromedp.ButtonModifiers(chromedp.ModifierCtrl))
	p.act("remote", "remove")
	p.sees("cannot be undone")
	p.audit("delete")
	p.click("dialog .danger")
	p.until("!" + row("remote", "folder") + " && !" + row("remote", "c & <i>.txt"))
	if _, err := os.Stat(w.served("folder")); !os.IsNotExist(err) {
		t.Errorf("still there: %v", err)
	}
}

// TestDropWithAnEntryThatCannotBe: a name that is not UTF-8 and a file that
// nobody may read are told, and everything else arrives, as old as it was.
func TestDropWithAnEntryThatCannotBe(t *testing.T) {
	w := newWorld(t)
	alice := w.join(t, "")
	dir := t.TempDir()
	large := random(9 << 20)
	write(t, filepath.Join(dir, "tree", "a.txt"), []byte("a"))
	write(t, filepath.Join(dir, "tree", "\xc4\xe3\xba\xc3.txt"), []byte("x")) // GBK
	write(t, filepath.Join(dir, "tree", "large"), large)
	write(t, filepath.Join(dir, "tree", "z.txt"), []byte("z"))
	old := time.Date(1960, 1, 2, 3, 4, 5, 0, time.UTC)
	if err := os.Chtimes(filepath.Join(dir, "tree", "z.txt"), old, old); err != nil {
		t.Fatal(err)
	}
	p := enter(t, sit(t, alice))
	p.dropFiles("section.pane:nth-of-type(2) .grid", filepath.Join(dir, "tree"))
	p.until(row("remote", "tree"))
	p.until("document.querySelector('.notice.error')?.innerText.includes('cannot read')")
	p.show("transfers")
	p.job("tree", "done")
	same(t, w.served("tree/a.txt"), []byte("a"))
	same(t, w.served("tree/large"), large)
	same(t, w.served("tree/z.txt"), []byte("z"))
	if i, err := os.Stat(w.served("tree/z.txt")); err != nil || !i.ModTime().Equal(old) {
		t.Errorf("the file of 1960: %v %v", i.ModTime(), err)
	}
	if eval[bool](p, "document.body.innerText.includes('does not respond')") {
		t.Error("the program is said not to answer")
	}
}

// TestDragBetweenPanes: in both directions.
func TestDragBetweenPanes(t *testing.T) {
	w := newWorld(t)
	alice := w.join(t, "")
	write(t, filepath.Join(alice.Home, "up.txt"), []byte("up"))
	write(t, w.served("down.txt"), []byte("down"))
	p := enter(t, sit(t, alice))
	drag := func(from, to string) {
		p.until(from)
		x, y := p.middle(from)
		u, v := p.middle(to)
		move := func(x, y float64) chromedp.Action[chromedp.Void] {
			return chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, x, y, chromedp.ButtonLeft, func(p *input.DispatchMouseEventParams) { p.Buttons = 1 })
		}
		p.do(chromedp.MouseEvent(input.DispatchMouseEventTypeMousePressed, x, y, chromedp.ButtonLeft, chromedp.ClickCount(1)),
			move(x+4, y+4), move((x+u)/2, (y+v)/2), move(u-2, v-2), move(u, v),
			chromedp.MouseEvent(input.DispatchMouseEventTypeMouseReleased, u, v, chromedp.ButtonLeft, chromedp.ClickCount(1)))
	}
	drag(row("local", "up.txt"), find("section.pane:nth-of-type(2) .grid"))
	p.until(row("remote", "up.txt"))
	drag(row("remote", "down.txt"), find("section.pane:nth-of-type(1) .grid"))
	p.until(row("local", "down.txt"))
	same(t, filepath.Join(alice.Home, "down.txt"), []byte("down"))
}

func TestManyNames(t *testing.T) {
	w := newWorld(t)
	alice := w.join(t, "")
	dir := filepath.Join(alice.Home, "many")
	many := 2_000
	if os.Getenv("HUFU_LARGE") != "" {
		many = 100_000
	}
	for i := range many {
		write(t, filepath.Join(dir, fmt.Sprintf("f%05d", i)), []byte{byte(i), byte(i >> 8)})
	}
	d := sit(t, alice)
	p := enter(t, d)
	// The folder takes long to read, once.
	eval[chromedp.Void](p, `(items => { const get = items.webkitGetAsEntry; items.webkitGetAsEntry = function () { const e = get.call(this), make = e.createReader; e.createReader = () => { `+
		`const r = make.call(e), read = r.readEntries; r.readEntries = (...to) => { r.readEntries = read; setTimeout(() => r.readEntries(...to), 1000) }; return r }; return e } })(DataTransferItem.prototype)`)
	// The longest time in which the page drew nothing.
	eval[int](p, "(window.longest = 0, window.was = performance.now(), (function f() { const now = performance.now(); longest = Math.max(longest, now - was); was = now; requestAnimationFrame(f) })(), 1)")
	begin := time.Now()
	p.dropFiles("section.pane:nth-of-type(2) .grid", dir)
	p.sees("scanning folders")
	p.show("transfers")
	p.patience(1200)
	p.until("document.querySelector('.job')")
	found := time.Since(begin)
	p.sees("Leave this page open until the files are prepared")
	p.job("many", "running")
	taken := time.Since(begin)
	p.job("many", "done")
	t.Logf("%d dropped files: found %.1f s, taken over %.1f s, on the server %.1f s after the drop; the page drew nothing for %.0f ms at most; the program behind it needed %d MiB at most",
		many, found.Seconds(), taken.Seconds(), time.Since(begin).Seconds(), eval[float64](p, "longest"), built.Peak(d.pid)>>20)
	if n := eval[int](p, "document.querySelectorAll('.job').length"); n != 1 {
		t.Errorf("%d transfers", n)
	}
	list, err := os.ReadDir(w.served("many"))
	if err != nil || len(list) != many {
		t.Errorf("%d files arrived: %v", len(list), err)
	}
	p.show("files")
	p.enterFolder("local", "many")
	p.sees(fmt.Sprint(many, " items"))
	if n := eval[int](p, "document.querySelectorAll('[id^=local-row-]').length"); n > 100 {
		t.Errorf("%d rows are drawn", n)
	}
	p.keys(kb.End)
	p.until(row("local", fmt.Sprintf("f%05d", many-1)))
}

// TestDeletingCanBeStopped: what was not asked for yet when somebody stops it
// stays.
func TestDeletingCanBeStopped(t *testing.T) {
	w := newWorld(t)
	alice := w.join(t, "")
	const total = 10_000
	for i := range total {
		write(t, w.served(fmt.Sprintf("many/f%05d", i)), nil)
	}
	p := enter(t, sit(t, alice))
	p.enterFolder("remote", "many")
	p.pick("remote", "f00000")
	p.keys("a", chromedp.KeyModifiers(chromedp.ModifierCtrl))
	p.keys(kb.Delete)
	p.sees("cannot be undone")
	p.click("dialog .danger")
	p.click("dialog .buttons button:first-child")
	p.sees("Stopped: ")
	said := p.text(".notices [role=status]")
	left := func() int {
		list, err := os.ReadDir(w.served("many"))
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	before := left()
	time.Sleep(300 * time.Millisecond)
	if n := left(); n != before || n == 0 || !strings.Contains(said, fmt.Sprintf("Stopped: %d of %d deleted.", total-n, total)) {
		t.Errorf("%d, then %d are left, and it says %q", before, n, said)
	}
}

// TestNamesThatNobodyCanType: a dropped name that is not text does not hold the
// others back, and what is shown in place of a byte does not become the name.
func TestNamesThatNobodyCanType(t *testing.T) {
	w := newWorld(t)
	alice := w.join(t, "")
	elsewhere := t.TempDir()
	write(t, filepath.Join(elsewhere, "odd", "bad\xff.txt"), []byte("bad"))
	write(t, filepath.Join(elsewhere, "odd", "good.txt"), []byte("good"))
	write(t, w.served("new\nline.txt"), []byte("line"))
	p := enter(t, sit(t, alice))
	p.dropFiles("section.pane:nth-of-type(2) .grid", filepath.Join(elsewhere, "odd"))
	p.sees("it was skipped")
	p.until(row("remote", "odd"))
	p.show("transfers")
	p.job("odd", "done")
	same(t, w.served("odd/good.txt"), []byte("good"))

	p.show("files")
	p.pick("remote", `new\x0aline.txt`)
	p.act("remote", "rename")
	p.until("document.querySelector('dialog input')?.value === 'new_line.txt'")
	p.click("dialog .primary")
	p.until(row("remote", "new_line.txt"))
	same(t, w.served("new_line.txt"), []byte("line"))
}
