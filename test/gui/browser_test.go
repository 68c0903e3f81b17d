//go:build e2e && linux

package gui

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"hufu/test/built"
)

// patience is how long a page gets for what it does in milliseconds.
const patience = 20 * time.Second

// rebound is a name of somebody else's that leads to this computer.
const rebound = "rebound.test"

//go:embed testdata/axe.min.js
var axe string

// chromium is started once for all tests, each of which has a context of its
// own in it: own cookies, own storage.
type chromium struct {
	ctx  context.Context
	stop func()
}

func startChromium() (*chromium, error) {
	dir, err := os.MkdirTemp("", "hufu-chromium-")
	if err != nil {
		return nil, err
	}
	alloc, cancel := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath("/usr/bin/chromium"), chromedp.UserDataDir(dir), chromedp.NoSandbox,
		chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("host-resolver-rules", "MAP "+rebound+" 127.0.0.1"), chromedp.Flag("lang", "en"), chromedp.WindowSize(1200, 800),
		chromedp.Env("LC_ALL=C.UTF-8"), // or Chromium reads no name of a file that is not ASCII
	)...)
	ctx, cancelBrowser := chromedp.NewContext(alloc)
	c := &chromium{ctx, func() {
		cancelBrowser()
		cancel()
		_ = os.RemoveAll(dir)
	}}
	if err := chromedp.Do(ctx); err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

// window is one page of one person.
type window struct {
	*testing.T
	ctx   context.Context
	wait  time.Duration
	close func() // and look what the console complained of

	mu     sync.Mutex
	faults []string // what the console complained of
}

func (c *chromium) open(t *testing.T) *window {
	t.Helper()
	return tab(c.ctx, t, chromedp.WithNewBrowserContext())
}

// another is a second window of the same browser: the same cookies and
// storage. It goes with the first.
func (w *window) another() *window {
	w.Helper()
	return tab(w.ctx, w.T)
}

func tab(parent context.Context, t *testing.T, o ...chromedp.ContextOption) *window {
	t.Helper()
	w := &window{T: t, wait: patience}
	ctx, cancel := chromedp.NewContext(parent, o...)
	w.ctx = ctx
	w.close = sync.OnceFunc(func() {
		w.mu.Lock()
		faults := slices.Clone(w.faults) // the picture below needs hear
		w.mu.Unlock()
		for _, f := range faults {
			t.Errorf("the page complained: %s", f)
		}
		if t.Failed() {
			w.keep()
		}
		cancel()
	})
	t.Cleanup(w.close)
	w.do(func(ctx context.Context, tg *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, tg, cdplog.Enable, cdp.Empty{})
		if err == nil { // several windows are open, and each is as if it were in front
			_, err = cdp.Call(ctx, tg, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
		}
		return chromedp.Void{}, err
	})
	if err := chromedp.Listen(ctx, w.hear); err != nil {
		t.Fatal(err)
	}
	w.size(1200, 800)
	return w
}

func (w *window) hear(ev any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch ev := ev.(type) {
	case *runtime.EventExceptionThrown:
		text := ev.ExceptionDetails.Text
		if e := ev.ExceptionDetails.Exception; e != nil {
			text += " " + e.Description
		}
		w.faults = append(w.faults, text)
	case *runtime.EventConsoleAPICalled:
		if ev.Type == runtime.ConsoleAPICalledTypeError || ev.Type == runtime.ConsoleAPICalledTypeWarning || ev.Type == runtime.ConsoleAPICalledTypeAssert {
			args, _ := json.Marshal(ev.Args)
			w.faults = append(w.faults, string(args))
		}
	case *cdplog.EventEntryAdded:
		// An answer with an HTTP error status is no fault of the page.
		if ev.Entry.Level == cdplog.EntryLevelError && ev.Entry.Source != cdplog.EntrySourceNetwork {
			w.faults = append(w.faults, ev.Entry.Text+" "+ev.Entry.URL)
		}
	}
}

// expected forgets what the console complained of so far, and says whether it
// was something.
func (w *window) expected() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	some := len(w.faults) > 0
	w.faults = nil
	return some
}

func (w *window) do(steps ...chromedp.Action[chromedp.Void]) {
	w.Helper()
	if err := chromedp.Do(w.ctx, steps...); err != nil {
		w.Fatal(err)
	}
}

// goTo opens an address and waits until it is loaded.
func (w *window) goTo(address string) {
	w.Helper()
	w.do(chromedp.Navigate(address))
}

func (w *window) size(width, height int64) {
	w.Helper()
	w.do(chromedp.EmulateViewport(width, height))
}

// eval runs an expression in the page.
func eval[T any](w *window, expression string) T {
	w.Helper()
	v, err := chromedp.Run(w.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		w.Fatalf("%s: %v", expression, err)
	}
	return v
}

// until waits for an expression to be true.
func (w *window) until(expression string) {
	w.Helper()
	for end := time.Now().Add(w.wait); ; time.Sleep(20 * time.Millisecond) {
		ok, err := chromedp.Run(w.ctx, chromedp.Evaluate[bool]("!!("+expression+")"))
		if err == nil && ok {
			return
		}
		if time.Now().After(end) {
			w.Fatalf("waited %v in vain for %s (%v)\n%s", w.wait, expression, err, w.text("body"))
		}
	}
}

// patience changes how long until waits.
func (w *window) patience(seconds int) { w.wait = time.Duration(seconds) * time.Second }

// audit has axe-core look at the page in both themes: no violation that is
// serious or critical.
func (w *window) audit(screen string) {
	w.Helper()
	if eval[bool](w, "!window.axe") { // half a megabyte, once for each page
		eval[chromedp.Void](w, axe)
	}
	for theme, rules := range map[string]string{"light": "", "dark": ", runOnly: ['color-contrast', 'link-in-text-block']"} { // the others see no color
		eval[chromedp.Void](w, "document.documentElement.dataset.theme = "+quote(theme))
		found, err := chromedp.Run(w.ctx, chromedp.Evaluate[[]string](`(async () => { const r = await axe.run(document, {resultTypes: ['violations']`+rules+`}); `+
			`return r.violations.filter(v => v.impact === 'serious' || v.impact === 'critical').map(v => v.id + ': ' + v.help + ' ' + v.nodes.slice(0, 3).map(n => n.html.slice(0, 200) + ' ' + (n.any[0]?.message ?? '')).join(' | ')) })()`,
			chromedp.EvalAwaitPromise))
		if err != nil {
			w.Fatalf("%s: %v", screen, err)
		}
		for _, f := range found {
			w.Errorf("%s, %s: %s", screen, theme, f)
		}
	}
	eval[chromedp.Void](w, "document.documentElement.dataset.theme = 'auto'")
}

func (w *window) text(selector string) string {
	w.Helper()
	return eval[string](w, "document.querySelector("+quote(selector)+")?.innerText ?? ''")
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// find is an expression for the one visible thing a person would press: by
// selector, or by the words on it with "=words".
func find(what string) string {
	words, ok := strings.CutPrefix(what, "=")
	if !ok {
		return "document.querySelector(" + quote(what) + ")"
	}
	return `[...(document.querySelector('dialog[open]') ?? document).querySelectorAll('button, a, select, [role=switch]')].find(e => e.offsetParent !== null && ` +
		`((e.querySelector(':scope > span:not([class])') ?? e).innerText.trim() === ` + quote(words) + ` || e.getAttribute('aria-label') === ` + quote(words) + `))`
}

func (w *window) sees(text string) {
	w.Helper()
	w.until("document.body.innerText.includes(" + quote(text) + ")")
}

// click presses the middle of a thing with the mouse, once it can be pressed
// and nothing lies over it.
func (w *window) click(what string, o ...chromedp.MouseOption) {
	w.Helper()
	w.until(`(() => { const e = ` + find(what) + `; if (!e || e.disabled || e.ariaDisabled === 'true') return false; e.scrollIntoView({block: 'nearest'}); const r = e.getBoundingClientRect(); ` +
		`const top = document.elementFromPoint(r.x + r.width / 2, r.y + r.height / 2); return top && (e.contains(top) || top.contains(e)) })()`)
	w.press(find(what), o...)
}

// press presses the middle of what expression is. A person sees the thing move
// and follows; between the look for its place and the press a page may change,
// so a press that meets something else is kept from it and made again.
func (w *window) press(expression string, o ...chromedp.MouseOption) {
	w.Helper()
	for range 10 {
		w.until("!!" + expression)
		eval[chromedp.Void](w, `(() => { const e = `+expression+`; window.pressed = undefined; const kinds = ['mousedown', 'mouseup', 'click', 'dblclick', 'contextmenu']; `+
			`const look = x => { if (window.pressed === undefined) window.pressed = e.contains(x.target) || x.target.contains(e); if (!window.pressed) { x.preventDefault(); x.stopImmediatePropagation() } }; `+
			`for (const k of kinds) window.addEventListener(k, look, true); window.unlook = () => kinds.forEach(k => window.removeEventListener(k, look, true)) })()`)
		x, y := w.middle(expression)
		w.do(chromedp.MouseClickXY(x, y, o...))
		if eval[bool](w, "(window.unlook?.(), window.pressed !== false)") { // undefined: the press led to another page
			return
		}
	}
	w.Fatalf("what is to be pressed moves all the time: %s", expression)
}

func (w *window) middle(expression string) (x, y float64) {
	w.Helper()
	at := eval[[]float64](w, `(() => { const r = `+expression+`.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2] })()`)
	return at[0], at[1]
}

// fill types into a field what is to stand there.
func (w *window) fill(selector, text string) {
	w.Helper()
	w.click(selector)
	w.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := chromedp.Evaluate[chromedp.Void](find(selector)+".select()")(ctx, t)
		_ = err // a select has nothing to select
		return nil
	}))
	w.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, input.InsertText, input.InsertTextParams{Text: text})
		return err
	}))
}

func (w *window) keys(keys string, o ...chromedp.KeyOption) {
	w.Helper()
	w.do(chromedp.KeyEvent(keys, o...))
}

// row is an expression for a name in a pane.
func row(side, name string) string {
	return fmt.Sprintf("[...document.querySelectorAll('[id^=%s-row-]')].find(e => e.dataset.name === %s)", side, quote(name))
}

func (w *window) pick(side, name string, o ...chromedp.MouseOption) {
	w.Helper()
	w.until(row(side, name))
	w.press(row(side, name), o...)
	w.until(row(side, name) + "?.getAttribute('aria-selected') === 'true'")
}

// act presses a button above a list of files.
func (w *window) act(side, what string) {
	w.Helper()
	w.click("section.pane." + side + " [data-act=" + what + "]")
}

// enterFolder goes into a folder by a double click.
func (w *window) enterFolder(side, name string) {
	w.Helper()
	w.until(row(side, name))
	w.press(row(side, name), chromedp.ClickCount(2))
}

// job waits for a transfer of a name to be in a state.
func (w *window) job(name, state string) {
	w.Helper()
	w.until(fmt.Sprintf("document.querySelector('.job[data-name=%s][data-state=%s]')", quote(name), quote(state)))
}

func (w *window) dropFiles(selector string, files ...string) {
	w.Helper()
	x, y := w.middle(find(selector))
	for _, typ := range []input.DispatchDragEventType{input.DispatchDragEventTypeDragEnter, input.DispatchDragEventTypeDragOver, input.DispatchDragEventTypeDrop} {
		w.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			_, err := cdp.Call(ctx, t, input.DispatchDragEvent, input.DispatchDragEventParams{
				Type: typ, X: x, Y: y, Data: &input.DragData{Items: []*input.DragDataItem{}, Files: files, DragOperationsMask: 1},
			})
			return err
		}))
	}
}

// picture is what the window shows, as PNG.
func (w *window) picture() []byte {
	w.Helper()
	data, err := chromedp.Run(w.ctx, chromedp.Action[[]byte](func(ctx context.Context, t *chromedp.Target) ([]byte, error) {
		r, err := cdp.Call(ctx, t, page.CaptureScreenshot, page.CaptureScreenshotParams{})
		if err != nil {
			return nil, err
		}
		return r.Data, nil
	}))
	if err != nil {
		w.Logf("no picture: %v", err)
	}
	return data
}

// keep leaves a picture of a page that failed, where HUFU_KEEP says.
func (w *window) keep() {
	dir := os.Getenv("HUFU_KEEP")
	if dir == "" {
		return
	}
	_ = os.MkdirAll(dir, 0o755)
	_ = os.WriteFile(filepath.Join(dir, strings.ReplaceAll(w.Name(), "/", "_")+".png"), w.picture(), 0o644)
}

// desk is a person with a running hufu gui.
type desk struct {
	built.Person
	address string
	start   string
	pid     int
	stop    func()
	kill    func()
}

// sit starts hufu gui for a person.
func sit(t *testing.T, p built.Person, args ...string) *desk {
	t.Helper()
	d := &desk{Person: p}
	cmd := p.Command(context.Background(), append([]string{"gui", "--no-open"}, args...)...)
	log, err := os.OpenFile(p.Home+".gui.log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d.pid = cmd.Process.Pid
	end := sync.OnceFunc(func() {
		_, err := built.Code(cmd, cmd.Wait())
		if err = errors.Join(err, log.Close()); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			data, _ := os.ReadFile(log.Name())
			t.Logf("hufu gui said:\n%s", data)
		}
	})
	d.stop = func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		end()
	}
	d.kill = func() {
		_ = cmd.Process.Kill()
		end()
	}
	t.Cleanup(d.stop)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("hufu gui printed no address: %v", err)
	}
	d.start = strings.TrimSpace(line)
	d.address, _, _ = strings.Cut(d.start, "/start")
	return d
}
