//go:build e2e && linux

package gui

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/tracing"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"hufu/internal/text"
	"hufu/test/built"
)

// theme chooses the colors by the page's own control.
func (w *window) theme(name string) {
	w.Helper()
	w.choose(`.choose select:has(option[value=auto])`, name)
	w.until("document.documentElement.dataset.theme === " + quote(name))
}

// unfold opens what can be opened.
func (w *window) unfold() {
	w.Helper()
	eval[chromedp.Void](w, "document.querySelectorAll('details').forEach(e => e.open = true)")
}

// choose takes a value of a select, as the browser's own list does.
func (w *window) choose(selector, value string) {
	w.Helper()
	w.until("document.querySelector(" + quote(selector) + ")")
	eval[chromedp.Void](w, "(e => { e.value = "+quote(value)+"; e.dispatchEvent(new Event('change', {bubbles: true})) })(document.querySelector("+quote(selector)+"))")
}

func (w *window) language(lang string) {
	w.Helper()
	w.choose(`.choose select:has(option[value=en])`, lang)
	w.until("document.documentElement.lang === " + quote(lang))
}

// tour shows every screen and window of the page, one after the other, in
// whatever state makes it fullest.
func tour(t *testing.T, look func(p *window, screen string)) {
	t.Helper()
	w := newWorld(t, "--teach-plaintext")
	home := filepath.Join(t.TempDir(), "alice")
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	alice := built.NewPerson(bin, home)
	slow, err := built.NewSlow(w.Address, fast)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(slow.Close)
	code, err := w.Invite("alice", slow.Address)
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("a-rather-long-name-", 8) + ".bin"
	for _, n := range []string{"running.bin", "paused.bin", "waiting.bin", "gone.bin", long} {
		write(t, filepath.Join(home, n), random(3<<20))
	}
	write(t, filepath.Join(home, "there.txt"), []byte("mine"))
	write(t, filepath.Join(home, "box", "x"), nil)

	p := browser.open(t)
	p.goTo(sit(t, alice).start)
	p.fill("textarea", "nonsense")
	p.until("document.querySelector('textarea[aria-invalid]')")
	look(p, "join, refused")
	p.fill("textarea", code)
	p.until("document.querySelector('.words')")
	p.fill("input[aria-describedby=join-short]", built.Password)
	p.fill("input[aria-describedby=join-again]", built.Password)
	look(p, "join")
	p.click(".button.primary")
	p.until("document.querySelector('main.files')")
	write(t, w.served("there.txt"), []byte("theirs"))
	p.until(row("remote", "there.txt"))
	look(p, "files")
	p.pick("local", "there.txt")
	p.act("local", "more")
	p.until("document.querySelector('.menu')")
	look(p, "menu")
	if !eval[bool](p, "!!document.querySelector('.menu')") { // it goes when the window changes
		p.act("local", "more")
	}
	p.click("=" + p.says("gui.properties"))
	p.until("document.querySelector('dialog[open]')")
	look(p, "properties")
	p.keys(kb.Escape)
	p.until("!document.querySelector('dialog')")
	p.enterFolder("local", "there.txt") // a double click: its preview
	p.until("document.querySelector('.seen pre')")
	look(p, "preview")
	p.keys(kb.Escape)
	for _, what := range []string{"rename", "move", "remove"} {
		p.until("!document.querySelector('dialog')")
		p.act("local", what)
		p.until("document.querySelector('dialog[open]')")
		look(p, what)
		p.keys(kb.Escape)
	}
	p.until("!document.querySelector('dialog')")
	p.keys("?")
	p.until("document.querySelector('dialog .keys')")
	look(p, "keys")
	p.keys(kb.Escape)
	p.until("!document.querySelector('dialog')")
	p.upload("there.txt")
	p.until("document.querySelector('dialog input[type=radio]')")
	eval[chromedp.Void](p, "document.querySelectorAll('dialog details').forEach(e => e.open = true)")
	p.until("[...document.querySelectorAll('dialog .digest')].filter(e => e.innerText.length === 64).length === 2")
	look(p, "conflict")
	p.answer("skip")
	if err := os.MkdirAll(w.served("gone.bin"), 0o755); err != nil { // a folder where a file is to go
		t.Fatal(err)
	}
	p.upload("gone.bin")
	p.show("transfers")
	p.job("gone.bin", "failed")
	slow.Rate(crawl / 8)
	p.upload("running.bin")
	p.upload(long)
	p.upload("paused.bin")
	p.show("transfers")
	p.click(".job[data-name='paused.bin'] .button")
	p.job("paused.bin", "paused")
	p.upload("waiting.bin")
	p.upload("there.txt")
	p.show("transfers")
	p.job("waiting.bin", "running")
	p.job("there.txt", "waiting")
	look(p, "transfers")
	p.click(".job[data-name='running.bin'] .button.danger-quiet")
	p.until("document.querySelector('dialog[open]')")
	look(p, "cancel")
	p.keys(kb.Escape)
	slow.Rate(fast)
	p.job(long, "done")
	p.answer("skip") // there.txt asks again
	p.show("files")  // closes the transfers
	p.show("handshake")
	p.until("document.querySelectorAll('.steps li').length > 10")
	look(p, "handshake")
	p.show("wire")
	p.click(".options .primary")
	p.until("document.querySelector('#wire-verdict')")
	look(p, "wire")
	p.show("devices")
	p.until("document.querySelectorAll('.device').length === 1")
	look(p, "devices")
	p.click(".page-head .primary")
	p.until("document.querySelector('dialog input[type=password]')")
	look(p, "devices, add")
	p.keys(built.Password + kb.Enter)
	p.until("document.querySelector('dialog .qr')")
	look(p, "devices, code")
	p.keys(kb.Escape)
	p.until("!document.querySelector('dialog')")
	p.click(".device .danger-quiet")
	p.until("document.querySelector('dialog input[type=password]')")
	p.keys(built.Password + kb.Enter)
	p.until("document.querySelector('dialog .trouble')") // it is the last one
	look(p, "devices, remove")
	p.keys(kb.Escape)
	p.until("!document.querySelector('dialog')")
	p.show("settings")
	look(p, "settings")
	p.click(".top > .button:not(.only-narrow)")
	p.until("document.querySelector('main.login .proofs')")
	look(p, "login")
	p.unfold()
	look(p, "login, details")
	p.fill("input[type=password]", "wrong")
	p.click(".buttons .primary")
	p.until("document.querySelector('.login .trouble')")
	look(p, "login, refused")
	p.click("#tls")
	p.until("document.querySelector('#tls[aria-checked=false]') && document.querySelector('.hint.bad')")
	p.until("document.querySelector('#login-user').value === ''") // the real name stays out of it
	look(p, "login without TLS")
	p.fill("#login-user", "pupil")
	p.fill("input[type=password]", "nothing secret")
	p.click(".buttons .button[type=submit]")
	p.until("document.querySelector('main.files') && document.querySelector('.banner.danger')")
	p.until("document.querySelector('.who bdi').innerText === 'pupil'") // not who the certificate is of
	look(p, "files without TLS")
}

// everyLook takes the pictures of a screen in both themes on three widths, if
// HUFU_LOOK says where: somebody should look at them after a change.
func (w *window) everyLook(lang, screen string) {
	w.Helper()
	dir := os.Getenv("HUFU_LOOK")
	if dir == "" {
		return
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		w.Fatal(err)
	}
	for _, size := range [][2]int64{{1400, 900}, {800, 700}, {390, 844}} {
		w.size(size[0], size[1])
		w.until(fmt.Sprintf("innerWidth === %d", size[0]))
		for _, theme := range []string{"light", "dark"} {
			eval[chromedp.Void](w, "document.documentElement.dataset.theme = "+quote(theme))
			name := fmt.Sprintf("%s-%s-%d-%s.png", screen, lang, size[0], theme)
			if err := os.WriteFile(filepath.Join(dir, strings.ReplaceAll(name, " ", "_")), w.picture(), 0o644); err != nil {
				w.Fatal(err)
			}
		}
	}
	eval[chromedp.Void](w, "document.documentElement.dataset.theme = 'auto'")
	w.size(1200, 800)
	w.until("innerWidth === 1200")
}

// says is a text in the language of the page.
func (w *window) says(key string) string {
	w.Helper()
	return text.For(eval[string](w, "document.documentElement.lang")).T(key)
}

// TestEveryScreenIsAccessible: axe-core in both themes, and nothing to scroll
// sideways on a narrow window.
func TestEveryScreenIsAccessible(t *testing.T) {
	screens := 0
	tour(t, func(p *window, screen string) {
		screens++
		p.audit(screen)
		p.size(800, 600)
		p.until("innerWidth === 800")
		if wide := eval[[]string](p, `[document.documentElement, ...document.querySelectorAll('main, .pane, .tools, .grid, dialog, .card, .job, .job-row, .drawer, .drawer-head, .top, .banner, .notices')]`+
			`.filter(e => e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0).map(e => e.tagName + '.' + e.className + ' ' + e.scrollWidth + ' > ' + e.clientWidth)`); len(wide) > 0 {
			t.Errorf("%s at 800 px: %v", screen, wide)
		}
		p.size(1200, 800)
		p.until("innerWidth === 1200")
		p.everyLook("en", screen)
	})
	if screens < 15 {
		t.Errorf("%d screens seen", screens)
	}
}

// TestChineseIsWhole: with the language switched no text of the English
// catalogue is left on any screen, in no label and no title.
func TestChineseIsWhole(t *testing.T) {
	var en, zh map[string]string
	for lang, into := range map[string]*map[string]string{text.English: &en, text.Chinese: &zh} {
		if err := json.Unmarshal(text.For(lang).JSON(), into); err != nil {
			t.Fatal(err)
		}
	}
	english := map[string]string{}
	for k, v := range en {
		if v != zh[k] && strings.ContainsFunc(v, func(r rune) bool { return r >= 'a' && r <= 'z' }) {
			english[v] = k
		}
	}
	// The one English word that stands there in every language.
	delete(english, "English")
	seen, chinese := 0, 0
	switched := false
	tour(t, func(p *window, screen string) {
		if !switched { // once; the choice is kept
			p.language(text.Chinese)
			p.until("document.body.innerText.includes(" + quote(zh["gui.join.title"]) + ")")
			switched = true
			// What the program has said stays as it was said until it is asked again.
			p.fill("textarea", "other nonsense")
			p.until("document.querySelector('.hint.bad') && /[\\u4e00-\\u9fff]/.test(document.querySelector('.hint.bad').innerText)")
		}
		p.everyLook("zh", screen)
		for _, s := range eval[[]string](p, `(() => { const all = new Set(); const w = document.createTreeWalker(document.documentElement, NodeFilter.SHOW_TEXT);`+
			`while (w.nextNode()) all.add(w.currentNode.data.trim()); for (const e of document.querySelectorAll('*')) for (const a of ['aria-label', 'title', 'placeholder', 'alt']) `+
			`if (e.hasAttribute(a)) all.add(e.getAttribute(a).trim()); all.delete(''); return [...all] })()`) {
			seen++
			if strings.ContainsFunc(s, func(r rune) bool { return r >= 0x4e00 && r <= 0x9fff }) {
				chinese++
			}
			if k, bad := english[s]; bad {
				t.Errorf("%s: %q is English (%s)", screen, s, k)
				continue
			}
			for v, k := range english {
				if len(v) > 14 && strings.Contains(s, v) {
					t.Errorf("%s: %q holds English (%s)", screen, s, k)
				}
			}
		}
	})
	if seen < 300 || chinese < 150 {
		t.Errorf("%d texts, %d of them Chinese: the scan is broken", seen, chinese)
	}
}

// TestTeachingWorldAndBack: the switch of the login window, the red banner on
// every screen while TLS is off, and the real world untouched by it.
func TestTeachingWorldAndBack(t *testing.T) {
	w := newWorld(t, "--teach-plaintext")
	alice := w.join(t, "")
	write(t, filepath.Join(alice.Home, "lesson.txt"), []byte("lesson"))
	write(t, w.served("real.txt"), []byte("real"))
	p := browser.open(t)
	p.goTo(sit(t, alice).start)
	p.until("document.querySelector('#tls[aria-checked=true]:not([disabled])')")
	_, high := p.middle(find("#tls"))
	stays := func(when string) {
		t.Helper()
		if _, y := p.middle(find("#tls")); y != high {
			t.Errorf("%s the switch is %v pixels lower: the next press misses it", when, y-high)
		}
	}
	p.click("#tls")
	stays("right after TLS was switched off")
	p.sees("Nothing is verified")
	p.sees("No TLS: everything can be read.")
	stays("without TLS")
	p.click("#tls")
	stays("right after TLS was switched on again")
	p.sees("Server identity verified")
	stays("with TLS")
	p.click("#tls")
	p.sees("Nothing is verified")
	if color := eval[string](p, "getComputedStyle(document.querySelector('.banner.danger')).backgroundColor"); color != "rgb(179, 18, 29)" {
		t.Errorf("the banner is %s", color)
	}
	p.fill("#login-user", "alice")
	p.fill("input[type=password]", built.Password) // the real one: HT-52
	p.click("=Log in without TLS")
	p.until("document.querySelector('main.files')")
	p.upload("lesson.txt")
	p.until(row("remote", "lesson.txt"))
	p.enterFolder("remote", "lesson.txt") // a double click: its preview
	p.until("document.querySelector('.seen pre')?.textContent === 'lesson'")
	p.keys(kb.Escape)
	if eval[bool](p, "!!"+row("remote", "real.txt")) {
		t.Error("HT-52: a real file is in the teaching world")
	}
	for _, screen := range []string{"transfers", "wire", "handshake", "files"} {
		p.show(screen)
		p.sees("No TLS: everything can be read.")
		if screen == "handshake" { // not the proof of another connection
			p.sees("there is nothing to verify")
			if eval[bool](p, "!!document.querySelector('.verdict.good, .steps li')") {
				t.Error("a connection without TLS shows a proof")
			}
		}
	}
	p.show("transfers")
	p.until("document.querySelector('.job .state.danger')?.innerText === 'no TLS'")
	p.click("=Log out")
	p.until("document.querySelector('main.login')")
	p.until("document.querySelector('#tls[aria-checked=true]') && !document.querySelector('.banner')")
	p.sees("Verified identities")
	p.click("=Continue")
	p.until(row("remote", "real.txt"))
	if eval[bool](p, "!!"+row("remote", "lesson.txt")+" || !!document.querySelector('.banner')") {
		t.Error("something of the teaching world is left")
	}
	if _, err := os.Stat(w.served("lesson.txt")); !os.IsNotExist(err) {
		t.Errorf("the lesson lies among the real files: %v", err)
	}
}

// TestTwoLoginsKeepApart: what was typed or transferred in one login is not taken for the other's.
func TestTwoLoginsKeepApart(t *testing.T) {
	w := newWorld(t, "--teach-plaintext")
	alice := w.join(t, "")
	write(t, filepath.Join(alice.Home, "there.txt"), []byte("mine"))
	write(t, filepath.Join(alice.Home, "sent.txt"), []byte("sent"))
	write(t, w.served("there.txt"), []byte("theirs"))
	p := enter(t, sit(t, alice))
	p.upload("sent.txt")
	p.sees(`Uploaded "sent.txt" to "My files".`)
	p.upload("there.txt")
	p.answer("skip")
	p.show("transfers")
	p.job("there.txt", "done")
	if got := p.text(".job[data-name='there.txt'] .facts-line"); !strings.HasPrefix(got, "skipped, nothing transferred") || strings.Contains(got, "4 B") {
		t.Errorf("a transfer of which all was skipped says %q", got)
	}
	if eval[bool](p, "!!document.querySelector(\".job[data-name='there.txt'] .job-icon.done\")") {
		t.Error("it has the tick of what was transferred")
	}
	p.click("=Log out")
	password := func(value, autocomplete string) {
		t.Helper()
		p.until("document.querySelector('input[type=password]').value === " + quote(value) + " && document.querySelector('input[type=password]').autocomplete === " + quote(autocomplete))
	}
	p.until("document.querySelector('#tls:not([disabled])') && document.activeElement.type === 'password'")
	p.fill("input[type=password]", built.Password)
	password(built.Password, "current-password")
	p.click("#tls")
	p.sees("Anyone between this computer and")
	password("", "off")
	p.fill("#login-user", "pupil")
	p.fill("input[type=password]", "nothing secret")
	p.click("#tls")
	password("", "current-password")
	p.click("#tls")
	p.fill("#login-user", "pupil")
	p.fill("input[type=password]", "nothing secret")
	p.click("=Log in without TLS")
	p.until("document.querySelector('main.files')")
	p.show("transfers")
	p.until("document.querySelector('.jobs .of-other')")
	if eval[bool](p, "!!document.querySelector('.job')") {
		t.Error("the transfers of another login are shown as if they were of this one")
	}
	p.click("=Other logins (2)")
	p.until("document.querySelectorAll('.job').length === 2")
	if got := p.text(".job[data-name='sent.txt'] .route"); !strings.Contains(got, "My files (alice@127.0.0.1:") {
		t.Errorf("its way is told as %q", got)
	}
	p.until(find("=Show in folder: sent.txt") + "?.ariaDisabled === 'true'")
	p.audit("other logins")
}

// TestWireAndHandshake: the two proofs, as the page tells them.
func TestWireAndHandshake(t *testing.T) {
	w := newWorld(t, "--teach-plaintext")
	alice := w.join(t, "")
	p := enter(t, sit(t, alice))
	p.show("wire")
	p.click("=Record and compare")
	p.until("document.querySelector('#wire-verdict.good')")
	plain := eval[int](p, "document.querySelectorAll('table .tone.bad').length")
	hidden := eval[int](p, "document.querySelectorAll('table .tone.good').length")
	if plain != 4 || hidden != 4 {
		t.Errorf("%d of user, password, name and bytes are found without TLS, %d are hidden with it", plain, hidden)
	}
	marked := eval[string](p, "[...document.querySelectorAll('.sides > div:first-child mark')].map(e => e.innerText).join('')")
	user := eval[string](p, `/name: "([^"]+)"/.exec(document.querySelector('.result').innerText)[1]`)
	password := eval[string](p, `/password: "([^"]+)"/.exec(document.querySelector('.result').innerText)[1]`)
	for _, s := range []string{user, password} {
		if len(s) < 6 || !strings.Contains(marked, s) {
			t.Errorf("%q is not marked in what the wire shows: %s", s, marked)
		}
	}
	if n := eval[int](p, "document.querySelectorAll('.sides > div:last-child mark').length"); n != 0 {
		t.Error("something is found with TLS")
	}
	for _, fact := range []string{"A man in the middle", "ClientHello", "TLS 1.3", "tcp.port ==", "plain.pcapng, tls.pcapng"} {
		p.sees(fact)
	}
	for _, name := range []string{"plain.pcapng", "tls.pcapng"} {
		if i, err := os.Stat(filepath.Join(alice.Home, "hufu-wire", name)); err != nil || i.Size() < 1000 {
			t.Errorf("%s: %v", name, err)
		}
	}
	p.click("=Show the folder")
	p.until(row("local", "plain.pcapng"))

	p.show("handshake")
	p.sees("Both identities are verified")
	for _, side := range []int{1, 2} {
		steps := eval[[]string](p, fmt.Sprintf("[...document.querySelectorAll('.steps:nth-of-type(%d) li')].map(e => e.dataset.step + e.dataset.ok)", side))
		if len(steps) < 7 || slices.ContainsFunc(steps, func(s string) bool { return !strings.HasSuffix(s, "yes") }) {
			t.Errorf("side %d: %v", side, steps)
		}
	}
	for _, fact := range []string{"Root CA, trusted", "has signed", "user alice", "X25519MLKEM768"} {
		p.sees(fact)
	}
	// A client that the server refuses is told why, here too.
	if r, err := w.Admin("user", "lock", "alice"); err != nil || r.Code != 0 {
		t.Fatal(r, err)
	}
	p.click("=Verify again")
	p.sees("The server refused this computer's certificate.")
	p.until("document.querySelector('.steps li[data-ok=no] .fix')")
	p.audit("handshake, refused")
}

// TestExpiredStartAddress: used once, it says what to do.
func TestExpiredStartAddress(t *testing.T) {
	w := newWorld(t)
	d := sit(t, w.join(t, ""))
	p := browser.open(t)
	p.goTo(d.start)
	p.until("document.querySelector('main.login')")
	q := browser.open(t)
	for _, address := range []string{d.start, d.address + "/start?token=AAAA", d.address + "/", d.address + "/nothing"} {
		q.goTo(address)
		q.sees(`Run "hufu gui" again`)
		if eval[bool](q, "!!document.querySelector('script, form, input')") {
			t.Errorf("%s is a page that does something", address)
		}
	}
	// The page that is open does not mind, and a page whose session is gone says so.
	p.goTo(d.address + "/")
	p.until("document.querySelector('main.login')")
	eval[chromedp.Void](p, "localStorage.setItem('hufu-key', 'A')")
	p.goTo(d.address + "/?again")
	p.sees(`Run "hufu gui" again`)
	p.audit("session over")
}

// TestHT21ForeignPagesReachNothing: a real browser, the session's own cookie and
// key in it, and pages of other origins: a name bound to this computer, another
// name of it, another port.
func TestHT21ForeignPagesReachNothing(t *testing.T) {
	w := newWorld(t)
	d := sit(t, w.join(t, ""))
	p := browser.open(t)
	p.goTo(d.start)
	p.until("document.querySelector('main.login')")
	key := eval[string](p, "localStorage.getItem('hufu-key')")
	if len(key) != 26 {
		t.Fatalf("the key is %q", key)
	}
	_, port, _ := strings.Cut(strings.TrimPrefix(d.address, "http://"), ":")
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("elsewhere")) }))
	t.Cleanup(other.Close)
	q := p.another()
	for _, from := range []string{"http://" + rebound + ":" + port + "/", "http://localhost:" + port + "/", other.URL + "/"} {
		q.goTo(from)
		if from != other.URL+"/" {
			q.sees("The host name in this request is not that of the page.")
		} else {
			q.sees("elsewhere")
		}
		for _, to := range []string{d.address, strings.TrimSuffix(from, "/")} {
			for _, call := range []string{
				"fetch(%s + '/api/state', {credentials: 'include', headers: {'X-Hufu-Key': %s}})",
				"fetch(%s + '/api/state', {credentials: 'include', cache: %s && 'no-store'})",
				"fetch(%s + '/api/logout', {method: 'POST', credentials: 'include', headers: {'Content-Type': 'application/json', 'X-Hufu-Key': %s}, body: '{}'})",
				"fetch(%s + '/api/logout', {method: 'POST', credentials: 'include', headers: {'Content-Type': 'text/plain', 'X-Unknown': %s}, body: '{}'})",
			} {
				got, err := chromedp.Run(q.ctx, chromedp.Evaluate[string]("("+fmt.Sprintf(call, quote(to), quote(key))+").then(async r => r.status + ' ' + await r.text(), () => 'nothing')", chromedp.EvalAwaitPromise))
				if err != nil {
					t.Fatal(err)
				}
				if got != "nothing" && !strings.HasPrefix(got, "403 ") && got != "200 elsewhere" || strings.Contains(got, "profiles") {
					t.Errorf("from %s: %s to %s: %s", from, call, to, got)
				}
			}
		}
	}
	if !q.expected() { // the browser says of each that it was blocked
		t.Error("nothing was blocked")
	}
	p.goTo(d.address + "/")
	p.until("document.querySelector('main.login .proofs')")
}

// TestByKeyboardAlone: join, log in, upload, download and cancel without a mouse.
func TestByKeyboardAlone(t *testing.T) {
	w := newWorld(t)
	home := filepath.Join(t.TempDir(), "alice")
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	slow, err := built.NewSlow(w.Address, fast)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(slow.Close)
	code, err := w.Invite("alice", slow.Address)
	if err != nil {
		t.Fatal(err)
	}
	data := random(5 << 20)
	write(t, filepath.Join(home, "zebra.bin"), data)
	p := browser.open(t)
	p.goTo(sit(t, built.NewPerson(bin, home)).start)
	p.until("document.querySelector('textarea')")
	p.to("textarea")
	p.keys(code)
	p.until("document.querySelector('.words')")
	p.tab("document.querySelectorAll('input[type=password]')[0]")
	p.keys(built.Password)
	p.tab("document.querySelectorAll('input[type=password]')[1]")
	p.keys(built.Password + kb.Enter)
	p.until("document.querySelector('main.files')")

	p.enterOn("=Log out")
	p.until("document.querySelector('main.login .proofs')")
	p.to("input[type=password]")
	p.keys(built.Password + kb.Enter)
	p.until("document.querySelector('main.files')")

	p.to("[aria-label=\"Files: This computer\"]")
	p.until(row("local", "zebra.bin"))
	p.keys("zeb")
	p.until(row("local", "zebra.bin") + "?.getAttribute('aria-selected') === 'true'")
	p.send()
	p.until(row("remote", "zebra.bin"))
	if err := os.Remove(filepath.Join(home, "zebra.bin")); err != nil {
		t.Fatal(err)
	}
	p.until("!" + row("local", "zebra.bin"))
	p.to("[aria-label=\"Files: Server\"]")
	p.keys(kb.End)
	p.until(row("remote", "zebra.bin") + "?.getAttribute('aria-selected') === 'true'")
	slow.Rate(crawl / 2)
	p.send()
	p.sees("Downloading 1 item to")
	p.enterOn(".drawer .toggle")
	p.job("zebra.bin", "running")
	p.enterOn("=Stop zebra.bin")
	p.until("document.querySelector('dialog[open]')")
	p.enterOn("=Stop")
	p.job("zebra.bin", "canceled")
	slow.Rate(fast)
	if left, _ := filepath.Glob(filepath.Join(home, "*zebra*")); len(left) > 0 {
		t.Errorf("left of what was given up: %v", left)
	}
	p.enterOn("nav a[href=\"#/files\"]")
	p.to("[aria-label=\"Files: Server\"]")
	p.until(row("remote", "zebra.bin"))
	p.keys(kb.End)
	p.send()
	p.until(row("local", "zebra.bin"))
	same(t, filepath.Join(home, "zebra.bin"), data)
}

// TestFirstPaint prints when Chromium's own trace says that something of the
// page was there to see. A figure, no promise.
func TestFirstPaint(t *testing.T) {
	w := aloneInWorld(t) // or it would be a figure of the others
	d := sit(t, w.join(t, ""))
	p := browser.open(t)
	var mu sync.Mutex
	var events []traceEvent
	done := make(chan struct{})
	if err := chromedp.Listen(p.ctx, func(ev any) {
		mu.Lock()
		defer mu.Unlock()
		switch ev := ev.(type) {
		case *tracing.EventDataCollected:
			for _, v := range ev.Value {
				var e traceEvent
				if json.Unmarshal(v, &e) == nil {
					events = append(events, e)
				}
			}
		case *tracing.EventTracingComplete:
			close(done)
		}
	}); err != nil {
		t.Fatal(err)
	}
	p.do(chromedp.Func(func(ctx context.Context, tg *chromedp.Target) error {
		_, err := cdp.Call(ctx, tg, tracing.Start, tracing.StartParams{TraceConfig: &tracing.TraceConfig{IncludedCategories: []string{"loading", "blink.user_timing", "devtools.timeline"}}})
		return err
	}))
	p.goTo(d.start)
	p.until("document.querySelector('main.login .proofs')")
	p.do(chromedp.Func(func(ctx context.Context, tg *chromedp.Target) error {
		_, err := cdp.Call(ctx, tg, tracing.End, cdp.Empty{})
		return err
	}))
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("the trace does not end")
	}
	mu.Lock()
	defer mu.Unlock()
	slices.SortFunc(events, func(a, b traceEvent) int { return cmp.Compare(a.TS, b.TS) })
	begin, told := map[string]float64{}, map[string]float64{}
	for _, e := range events {
		id := e.Args.Data.Navigation
		switch e.Name {
		case "navigationStart": // not of the start address, which only leads on
			if strings.HasPrefix(e.Args.Data.URL, d.address+"/") && !strings.HasPrefix(e.Args.Data.URL, d.address+"/start") {
				begin[id] = e.TS
			}
		case "firstPaint", "firstContentfulPaint":
			if at, ok := begin[id]; ok {
				told[e.Name] = (e.TS - at) / 1000
			}
		}
	}
	if len(told) != 2 {
		t.Fatalf("the trace of %d events tells of no paint: %v", len(events), told)
	}
	t.Logf("first paint %.0f ms, first contentful paint %.0f ms after the navigation", told["firstPaint"], told["firstContentfulPaint"])
}

type traceEvent struct {
	Name string  `json:"name"`
	TS   float64 `json:"ts"` // microseconds
	Args struct {
		Data struct {
			URL        string `json:"documentLoaderURL"`
			Navigation string `json:"navigationId"`
		} `json:"data"`
	} `json:"args"`
}

// TestNarrowWindow: the long screens fit into 400 pixels, and only they scroll.
func TestNarrowWindow(t *testing.T) {
	w := newWorld(t, "--teach-plaintext")
	p := enter(t, sit(t, w.join(t, "")))
	p.size(400, 900)
	fits := func(screen string) {
		if !eval[bool](p, "(() => { const s = document.querySelector('.screen'), d = document.documentElement;"+
			"return s.scrollWidth <= s.clientWidth && d.scrollWidth <= innerWidth && d.scrollHeight <= innerHeight })()") {
			t.Errorf("%s does not fit", screen)
		}
	}
	p.show("handshake")
	p.until("document.querySelectorAll('.steps li').length > 8")
	fits("handshake")
	if width := eval[float64](p, "document.querySelector('.chains .cert').getBoundingClientRect().width"); width < 300 {
		t.Errorf("a certificate is drawn %.0f pixels wide", width)
	}
	p.show("wire")
	p.click(".options .primary")
	p.until("document.querySelector('#wire-verdict')")
	fits("wire")
}
