//go:build e2e && linux

// Package stories tells on the built programs what people do with hufu, and
// what it answers: exit status and output. Each story is a script in testdata
// with a server of its own, which may be several nodes.
package stories

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"hufu/internal/testenv/proxy"
	"hufu/test/built"
	"hufu/test/nodes"
)

// bin is where the programs are, set once before the tests.
var bin string

func TestMain(m *testing.M) { built.Main(m, &bin) }

// TestStories tells them of one server whose files are on its disk.
func TestStories(t *testing.T) {
	t.Parallel()
	params := tell(nil)
	params.Dir = "testdata"
	testscript.Run(t, params)
}

// overNodes are the stories that TestStoriesOverNodes tells in any case: those in which most is left
// to the server.
var overNodes = []string{"cat", "conflict", "cp", "invitation", "lockout", "mv", "people", "preserve", "refused", "sync", "waits"}

// TestStoriesOverNodes tells the same stories of three servers on one database and one S3 service:
// each connection goes to the next of them, and each story is administered at another one.
func TestStoriesOverNodes(t *testing.T) {
	t.Parallel()
	engines, err := nodes.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(engines.Stop)
	params := tell(engines)
	if os.Getenv("HUFU_LARGE") != "" {
		params.Dir = "testdata"
	}
	for _, name := range overNodes {
		if params.Dir == "" {
			params.Files = append(params.Files, filepath.Join("testdata", name+".txtar"))
		}
	}
	testscript.Run(t, params)
}

// tell is how a story is told, of nodes on engines or of one server.
func tell(engines *nodes.Engines) testscript.Params {
	return testscript.Params{
		ContinueOnError:     testing.Verbose(),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("HUFU_UPDATE_STORIES") != "",
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", bin+":"+e.Getenv("PATH"))
			e.Setenv("LANG", "")
			halls := map[string]*hall{}
			e.Values["halls"], e.Values["engines"] = halls, engines
			e.Defer(func() {
				for _, h := range halls {
					h.end()
				}
			})
			return os.WriteFile(filepath.Join(e.WorkDir, "password"), []byte(built.Password+"\n"), 0o600)
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "root":
				return os.Geteuid() == 0, nil
			case "nodes":
				return engines != nil, nil
			case "systemd":
				_, err := os.Stat("/run/systemd/system")
				return err == nil, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve": serve, "shut": shut, "freeze": freeze, "thaw": thaw, "as": as, "enroll": enroll, "exits": exits, "signalled": signalled,
			"proxied": proxied, "field": field, "log": log, "await": await, "odd": odd,
		},
	}
}

func need(ts *testscript.TestScript, neg bool, args []string, least int, usage string) {
	if neg || len(args) < least {
		ts.Fatalf("usage: %s", usage)
	}
}

// serve starts a server, made if need be, and sets $DATA, its folder, $ADDRESS and $PORT, where
// clients find it, $LISTEN, where it listens itself, and $PID. A second time it has the same
// address. ADDRESS is one to listen at instead of a port of 127.0.0.1 that the test keeps. Of
// several nodes $DATA, $LISTEN and $PID are those of one, another one in each story.
func serve(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1, "serve NAME [ADDRESS]")
	halls := ts.Value("halls").(map[string]*hall)
	if halls[args[0]] == nil {
		address := ""
		if len(args) > 1 {
			address = args[1]
		}
		h, err := newHall(ts.Value("engines").(*nodes.Engines), ts.MkAbs(args[0]), address)
		ts.Check(err)
		halls[args[0]] = h
	}
	h := halls[args[0]]
	ts.Check(h.start())
	s := h.servers[len(ts.Name())%len(h.servers)]
	ts.Setenv("DATA", s.Data)
	ts.Setenv("LISTEN", s.Address)
	ts.Setenv("PID", strconv.Itoa(s.Pid()))
	ts.Setenv("ADDRESS", h.address())
	ts.Setenv("PORT", h.address()[strings.LastIndex(h.address(), ":")+1:])
}

func at(ts *testscript.TestScript, name string) *hall {
	h := ts.Value("halls").(map[string]*hall)[name]
	if h == nil {
		ts.Fatalf("%s is not served", name)
	}
	return h
}

// shut ends a server as an operator does.
func shut(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1, "shut NAME")
	ts.Check(at(ts, args[0]).stop())
}

func freeze(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1, "freeze NAME")
	ts.Check(at(ts, args[0]).signal(syscall.SIGSTOP))
}

func thaw(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1, "thaw NAME")
	ts.Check(at(ts, args[0]).signal(syscall.SIGCONT))
}

// as makes what follows happen in somebody's home.
func as(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1, "as PERSON")
	home := filepath.Join(ts.Getenv("WORK"), "home", args[0])
	ts.Check(os.MkdirAll(home, 0o700))
	ts.Setenv("HOME", home)
	ts.Check(ts.Chdir(home))
}

// enroll makes somebody a user with a computer of their own, and goes on as
// them.
func enroll(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2, "enroll NAME PERSON")
	as(ts, false, args[1:])
	_, err := at(ts, args[0]).next().Enroll(ts.Getenv("HOME"), args[1], "")
	ts.Check(err)
}

// exits runs a command that must end with an exact status.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2, "exits STATUS COMMAND…")
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	judge(ts, want, ts.Exec(args[1], args[2:]...))
}

func judge(ts *testscript.TestScript, want int, err error) {
	got := 0
	if err != nil {
		exit, ok := err.(*exec.ExitError) //nolint:errorlint // what exec returns
		if !ok {
			ts.Check(err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit status %d, not %d", got, want)
	}
}

// signalled runs a command and sends it a signal once it is on the network.
// With a frozen server that is the only way on.
func signalled(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 3, "signalled INT|TERM STATUS COMMAND…")
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	signal := map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM}[args[0]]
	cmd := exec.Command(filepath.Join(bin, args[2]), args[3:]...)
	cmd.Env = built.Environ(ts.Getenv("HOME"), "LANG="+ts.Getenv("LANG"))
	cmd.Dir = ts.Getenv("HOME")
	cmd.Stdout, cmd.Stderr = ts.Stdout(), ts.Stderr()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	ts.Check(cmd.Start())
	err = built.Eventually("a socket", func() bool { return built.HasSocket(cmd.Process.Pid) })
	if err == nil {
		err = cmd.Process.Signal(signal)
	}
	ts.Check(err)
	got, err := built.Code(cmd, cmd.Wait())
	ts.Check(err)
	if got != want {
		ts.Fatalf("exit status %d, not %d", got, want)
	}
}

// proxied starts a proxy, sets $PROXY to its URL, and has the profile know its server by a name that
// only the proxy resolves.
func proxied(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1, "proxied http|socks5 [USER:PASSWORD]")
	begin := proxy.HTTP
	if args[0] != "http" {
		begin = proxy.SOCKS
	}
	p, err := begin()
	ts.Check(err)
	ts.Defer(func() { _ = p.Close() })
	if len(args) > 1 {
		p.User, p.Password, _ = strings.Cut(args[1], ":")
	}
	ts.Setenv("PROXY", args[0]+"://"+p.Address())
	ts.Setenv("PROXYADDRESS", p.Address())
}

// field sets a variable from the first JSON line of standard output with
// other fields as given.
func field(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2, "field VARIABLE KEY [KEY=VALUE…]")
	lines, err := built.Result{Out: ts.ReadFile("stdout")}.Lines()
	ts.Check(err)
next:
	for _, m := range lines {
		for _, a := range args[2:] {
			if k, v, _ := strings.Cut(a, "="); fmt.Sprint(m[k]) != v {
				continue next
			}
		}
		ts.Setenv(args[0], fmt.Sprint(m[args[1]]))
		return
	}
	ts.Fatalf("no such line")
}

// log writes a server's log to the file "log" in the work folder.
func log(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1, "log NAME")
	ts.Check(os.WriteFile(filepath.Join(ts.Getenv("WORK"), "log"), []byte(at(ts, args[0]).log()), 0o600))
}

// await runs a command until it ends with the status.
func await(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2, "await STATUS COMMAND…")
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = built.Eventually(strings.Join(args, " "), func() bool {
		got := 0
		if exit, ok := ts.Exec(args[1], args[2:]...).(*exec.ExitError); ok { //nolint:errorlint // what exec returns
			got = exit.ExitCode()
		}
		return got == want
	})
	ts.Check(err)
}

// odd makes files with names that a script cannot write, below a folder.
func odd(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1, "odd FOLDER")
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(filepath.Join(dir, "fold\ner \x1b[31m"), 0o755))
	for _, name := range []string{"new\nline", "in\xff\xfevalid", "-rf", "a:b", ":", "\x1b]0;title\a", " ", "'\"$(true)`", "…", "...", strings.Repeat("n", 255)} {
		ts.Check(os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644))
	}
	ts.Check(os.WriteFile(filepath.Join(dir, "fold\ner \x1b[31m", "tab\there"), nil, 0o644))
}
