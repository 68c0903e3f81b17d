// Package cli is the command line that the two programs share: language, help,
// flags, questions, tables, signals and the exit status. Every word comes from
// the catalogues of package text; the commands are in cmd.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/mattn/go-runewidth"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"hufu"
	"hufu/internal/text"
)

// Exit statuses of a program that SIGTERM or SIGHUP stopped, and of one whose standard
// output has no reader any more, as a shell reports these signals and SIGPIPE.
const (
	exitTerminated = 143
	exitHungUp     = 129
	exitNoReader   = 141
)

// stoppingAfter is how long a command may take to stop before the user is told that it does.
const stoppingAfter = time.Second

// maxSecretFile is the limit for a file with a password, in bytes.
const maxSecretFile = 64 << 10

// App holds what every command of a program shares.
type App struct {
	Program string
	Cat     *text.Catalogue
	In      *os.File // for questions, if it is a terminal
	Out     io.Writer
	Err     io.Writer
	Getenv  func(string) string
	Lang    string          // --lang
	Stop    <-chan struct{} // stops the program when it is closed, as SIGTERM does; nil never does
	HangUp  bool            // SIGHUP stops the program, as SIGTERM does

	out *output // Out
}

// New prepares an App for a command line; its language is settled here, before
// the flags are read, because their help is written in it.
func New(program string, args []string, in *os.File, out, stderr io.Writer, getenv func(string) string) *App {
	o := &output{w: out}
	lang := flagLang(args)
	if !known(lang) { // CheckLang says so, in the language of the environment
		lang = ""
	}
	return &App{
		Program: program, In: in, Out: o, Err: errout{stderr, o}, Getenv: getenv, out: o,
		Cat: text.Shown(lang, getenv),
	}
}

// known reports whether there is a catalogue for a value of --lang.
func known(lang string) bool {
	return lang == text.English || text.Lang(lang, func(string) string { return "" }) == text.Chinese
}

// OutTerminal reports whether standard output is a terminal.
func (a *App) OutTerminal() bool {
	f, ok := a.out.w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// flagLang looks for --lang in a command line.
func flagLang(args []string) string {
	for i, arg := range args {
		if arg == "--" {
			break
		}
		if v, ok := strings.CutPrefix(arg, "--lang="); ok {
			return v
		}
		if arg == "--lang" && i+1 < len(args) {
			return args[i+1]
		}
	}
	return ""
}

// Run executes a command line, reports any error to the user, and returns the
// exit status. A signal ends the context with Stopped as its cause; a second
// one ends the program at once, which the user of a terminal is told if stopping takes long.
func (a *App) Run(root *cobra.Command, args []string) int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	ended := make(chan struct{})
	defer close(ended)
	defer a.stopOnSignal(cancel, ended)()
	// A write to standard output whose reader has gone away returns an error
	// instead of killing the program, so that open files are still closed.
	noReader := make(chan os.Signal, 1)
	signal.Notify(noReader, syscall.SIGPIPE)
	defer signal.Stop(noReader)
	a.out.stop = func() { cancel(errors.New("nobody reads standard output")) }
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	status := 0
	if err != nil {
		kind := hufu.KindOf(err)
		status = kind.Exit()
		if s, ok := errors.AsType[Stopped](context.Cause(ctx)); ok && kind == hufu.KindCanceled {
			switch s.Signal {
			case syscall.SIGTERM:
				status = exitTerminated
			case syscall.SIGHUP:
				status = exitHungUp
			}
		}
		if !errors.Is(err, ErrReported) {
			a.Cat.Report(a.Err, a.Program, err)
			if wantsJSON(cmd, args) {
				_ = a.JSON(a.Failure(err)) // out remembers it
			}
		}
	}
	a.out.close()
	lost := a.out.failure()
	switch {
	case lost == nil:
		return status
	case a.out.readerGone():
		return exitNoReader
	case hufu.CodeOf(err) != hufu.CodeOf(lost):
		a.Cat.Report(a.Err, a.Program, lost)
	}
	if status == 0 {
		status = hufu.KindOf(lost).Exit()
	}
	return status
}

// Failure is an error in --json: of a whole command, or of one name among
// others.
type Failure struct {
	Error   string `json:"error"` // kind
	Code    string `json:"code"`
	Message string `json:"message"`
	Fix     string `json:"fix,omitempty"`
}

// Failure returns what --json says of err.
func (a *App) Failure(err error) *Failure {
	f := &Failure{Error: hufu.KindOf(err).String(), Code: hufu.CodeOf(err)}
	f.Message, f.Fix = a.Cat.Error(err)
	return f
}

// wantsJSON reports whether a command that knows --json was given it. Arguments after a wrong
// flag were not parsed, so the command line is searched.
func wantsJSON(cmd *cobra.Command, args []string) bool {
	f := cmd.Flag("json")
	if f == nil {
		return false
	}
	if f.Changed {
		return f.Value.String() == "true"
	}
	for _, arg := range args {
		switch arg {
		case "--":
			return false
		case "--json", "--json=true":
			return true
		}
	}
	return false
}

// ErrReported in an error's chain says that the user has seen the error: it
// only carries the exit status.
var ErrReported = errors.New("reported")

// Reported wraps an error whose text has been shown.
func Reported(kind hufu.Kind) error { return &hufu.Error{Op: "run", Kind: kind, Err: ErrReported} }

// CheckLang refuses a --lang that there is no catalogue for.
func (a *App) CheckLang() error {
	if a.Lang != "" && !known(a.Lang) {
		return Usage("admin_lang_unknown", "lang", a.Lang)
	}
	return nil
}

// Printf writes a line of result.
func (a *App) Printf(format string, args ...any) error {
	_, err := fmt.Fprintf(a.Out, format+"\n", args...)
	return err
}

// Hint writes a line for people, out of the way of scripts.
func (a *App) Hint(s string) { _, _ = fmt.Fprintln(a.Err, s) }

// Table writes rows in columns. Control characters in a cell are replaced.
func (a *App) Table(rows [][]string) error {
	var t Table
	for _, row := range rows {
		if err := a.Row(&t, row...); err != nil {
			return err
		}
	}
	return a.EndTable(&t)
}

// Columns sets rows in columns as wide as their widest cell on a terminal, two spaces
// apart, and returns the lines.
func Columns(rows [][]string) []string {
	lines, _ := columns(rows, nil)
	return lines
}

// columns is Columns, with columns that have at least these widths. It returns those
// that they have.
func columns(rows [][]string, widths []int) (lines []string, _ []int) {
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], Width(cell))
		}
	}
	lines = make([]string, len(rows))
	for n, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			b.WriteString(cell)
			b.WriteString(strings.Repeat(" ", widths[i]-Width(cell)+2))
		}
		lines[n] = strings.TrimRight(b.String(), " ")
	}
	return lines, widths
}

// Width returns the number of columns that s takes on a terminal. Characters that are
// narrow or wide depending on the font, such as arrows, count as narrow in every locale.
func Width(s string) int {
	return (&runewidth.Condition{StrictEmojiNeutral: true}).StringWidth(s)
}

// Interactive reports whether a question can be asked and its answer read.
func (a *App) Interactive() bool { return a.In != nil && term.IsTerminal(int(a.In.Fd())) }

// FirstLine returns the first line of a small file, such as a script uses for a
// password or a code.
func FirstLine(path string) (string, error) {
	data, err := ReadLimited(path, maxSecretFile)
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(data), "\n")
	return strings.TrimSuffix(line, "\r"), nil
}

// ReadLimited reads a file that must not be larger than limit.
func ReadLimited(path string, limit int64) ([]byte, error) {
	fail := func(err error) error {
		return &hufu.Error{Op: "read file", Path: path, Kind: hufu.KindUsage, Code: "cannot_read", Err: err}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fail(err)
	}
	defer func() { _ = f.Close() }()
	if i, err := f.Stat(); err == nil && i.IsDir() {
		return nil, &hufu.Error{Op: "read file", Path: path, Kind: hufu.KindUsage, Code: "is_a_folder"}
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fail(err)
	}
	if int64(len(data)) > limit {
		return nil, Usage("admin_file_too_large", "file", path)
	}
	return data, nil
}

// ReadFile is ReadLimited, and reads standard input if path is "-".
func (a *App) ReadFile(ctx context.Context, path string, limit int64) ([]byte, error) {
	if path != "-" || a.In == nil {
		return ReadLimited(path, limit)
	}
	var data []byte
	_, err := await(ctx, func() (_ string, err error) {
		if data, err = io.ReadAll(io.LimitReader(a.In, limit+1)); err != nil {
			err = &hufu.Error{Op: "read file", Path: path, Kind: hufu.KindUsage, Code: "cannot_read", Err: err}
		}
		return "", err
	}, func() {})
	if err == nil && int64(len(data)) > limit {
		return nil, Usage("admin_file_too_large", "file", path)
	}
	return data, err
}

// InFile says of an error which file it is about, unless it knows itself.
func InFile(path string, err error) error {
	e, ok := errors.AsType[*hufu.Error](err)
	if !ok || e.Path != "" {
		return err
	}
	c := *e
	c.Path = path
	return &c
}

// ToFile returns the error for a file that cannot be created: its folder may be
// missing.
func ToFile(path string, kind hufu.Kind, code string, err error) error {
	e := &hufu.Error{Op: "make file", Path: path, Kind: kind, Code: code, Err: err}
	if folder := filepath.Dir(path); errors.Is(err, os.ErrNotExist) {
		if _, err := os.Stat(folder); errors.Is(err, os.ErrNotExist) {
			e.Code, e.Args = "folder_missing", map[string]string{"folder": folder}
		}
	}
	return e
}

// Ask reads one line.
func (a *App) Ask(ctx context.Context, prompt string) (string, error) {
	if !a.Interactive() {
		return "", Usage(inputEnded)
	}
	_, _ = fmt.Fprint(a.Err, prompt+" ")
	return a.Line(ctx)
}

// Line reads one line of input, unless ctx ends before. Its error has the code
// "input_ended" if there is none.
func (a *App) Line(ctx context.Context) (string, error) {
	return await(ctx, func() (string, error) { return readLine(a.In) }, func() { a.Hint("") })
}

// await returns what read has read, unless ctx ends before: then it leaves read
// behind, which only the end of the program ends, and calls left.
func await(ctx context.Context, read func() (string, error), left func()) (string, error) {
	var answer string
	var err error
	done := make(chan struct{})
	if ctx.Err() == nil {
		go func() {
			defer close(done)
			answer, err = read()
		}()
		select {
		case <-done:
			if hufu.CodeOf(err) != inputEnded {
				return answer, err
			}
			select { // Ctrl-C may end the input a moment before its signal has come
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
				return answer, err
			}
		case <-ctx.Done():
			left()
		}
	}
	return "", &hufu.Error{Op: "ask", Kind: hufu.KindCanceled, Code: "question_left", Err: context.Cause(ctx)}
}

const inputEnded = "input_ended"

// readLine reads one line, byte by byte so that nothing behind it is consumed.
func readLine(r io.Reader) (string, error) {
	var line []byte
	b := make([]byte, 1)
	for len(line) < maxSecretFile {
		n, err := r.Read(b)
		if n == 1 && b[0] == '\n' {
			break
		}
		line = append(line, b[:n]...)
		if errors.Is(err, io.EOF) {
			if len(line) == 0 {
				return "", Usage(inputEnded)
			}
			break
		}
		if err != nil {
			return "", &hufu.Error{Op: "read input", Kind: hufu.KindUnreadable, Err: err}
		}
	}
	return strings.TrimSuffix(string(line), "\r"), nil
}

// Secret asks for a secret without showing it; with again, twice. Where nobody can
// be asked it returns alone, which says what it asks for and what to do instead.
func (a *App) Secret(ctx context.Context, prompt, again string, alone error) (string, error) {
	if !a.Interactive() {
		return "", alone
	}
	read := func(prompt string) (string, error) {
		fd := int(a.In.Fd())
		shown, err := term.GetState(fd)
		if err != nil {
			return "", &hufu.Error{Op: "read from terminal", Kind: hufu.KindUnreadable, Err: err}
		}
		_, _ = fmt.Fprint(a.Err, prompt+" ")
		begun := make(chan struct{})
		secret, err := await(ctx, func() (string, error) {
			close(begun)
			line, err := readHidden(a.In)
			if _, known := errors.AsType[*hufu.Error](err); err != nil && !known {
				err = &hufu.Error{Op: "read from terminal", Kind: hufu.KindUnreadable, Err: err}
			}
			return line, err
		}, func() { // or nothing that is typed later would be shown
			<-begun
			_ = term.Restore(fd, shown)
			time.Sleep(50 * time.Millisecond) // it may be about to hide the input
			_ = term.Restore(fd, shown)
		})
		a.Hint("")
		return secret, err
	}
	one, err := read(prompt)
	if err != nil || again == "" {
		return one, err
	}
	two, err := read(again)
	if err != nil {
		return "", err
	}
	if one != two {
		return "", Usage("admin_secret_differs")
	}
	return one, nil
}

// Password takes the user's password from the file that --password-file names, or
// from the terminal.
func (a *App) Password(ctx context.Context, file string) (string, error) {
	return a.password(ctx, file, a.Cat.T("cli.ask.password"), "")
}

// NewPassword takes a password that may be a new one; on a terminal it is asked
// for twice, with prompt first.
func (a *App) NewPassword(ctx context.Context, file, prompt string) (string, error) {
	return a.password(ctx, file, prompt, a.Cat.T("cli.ask.password_again"))
}

func (a *App) password(ctx context.Context, file, prompt, again string) (string, error) {
	var pw string
	var err error
	if file != "" {
		pw, err = FirstLine(file)
	} else {
		pw, err = a.Secret(ctx, prompt, again, Usage("password_without_terminal"))
	}
	switch {
	case err != nil:
		return "", err
	case pw != "":
		return pw, nil
	case file == "":
		return "", Usage("password_missing")
	}
	return "", InFile(file, Usage("password_empty"))
}
