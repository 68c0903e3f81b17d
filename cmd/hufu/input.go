package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/term"

	"hufu"
	"hufu/internal/cli"
	"hufu/internal/client"
	"hufu/internal/transfer"
)

// putInput uploads standard input as one file. The size of an upload must be known when it begins,
// so the input is kept in a temporary file first. That file is removed again, and nothing is
// visible on the server if the input could not be read to its end.
func (a *app) putInput(ctx context.Context, sources []string, to location, f *copyFlags, o transfer.Options) error {
	switch {
	case len(sources) > 1 || f.dry || !f.filter.Empty():
		return cli.Usage("put_input_one")
	case to.slash:
		return cli.Usage("put_input_name", "target", to.text)
	}
	foresee := func(r *client.Remote) { r.ForeseeList([]hufu.Path{to.path}) }
	return a.with(ctx, to, foresee, func(r *client.Remote) error {
		there, err := r.Stat(ctx, to.path)
		switch {
		case err == nil && there.Kind == hufu.Folder: // before the input is read
			return cli.Usage("put_input_name", "target", to.text)
		case err != nil && hufu.KindOf(err) != hufu.KindNotFound:
			return err
		}
		dir, err := os.MkdirTemp("", "hufu-input-")
		if err != nil {
			return inputLost(os.TempDir(), err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		file := filepath.Join(dir, "input")
		if err := a.keepInput(ctx, file); err != nil {
			return err
		}
		how := client.How{Exact: true}
		c, err := r.PreparePut(ctx, []string{file}, to.path, how)
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		for i := range c.Sources {
			c.Sources[i].Local = "-"
		}
		return a.copy(ctx, r, c, f, o, "put", func(ctx context.Context, e *transfer.Engine) error { return e.Put(ctx, c.Sources) })
	})
}

// keepInput copies standard input to a new file.
func (a *app) keepInput(ctx context.Context, file string) error {
	if a.In == nil {
		return cli.Usage("input_ended")
	}
	if term.IsTerminal(int(a.In.Fd())) {
		a.Hint(a.Cat.T("hufu.put.input"))
	}
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return inputLost(filepath.Dir(file), err)
	}
	defer func() { _ = out.Close() }()
	done := make(chan error, 1)
	go func() { // an input that never ends is left behind when the program ends
		from := &source{r: a.In}
		_, err := io.Copy(out, from)
		switch {
		case from.err != nil:
			err = &hufu.Error{Op: "read input", Path: "-", Kind: hufu.KindUnreadable, Code: "cannot_read", Err: from.err}
		case err != nil:
			err = inputLost(filepath.Dir(file), err)
		}
		done <- err
	}()
	select {
	case err = <-done:
	case <-ctx.Done():
		return &hufu.Error{Op: "read input", Kind: hufu.KindCanceled, Code: "question_left", Err: context.Cause(ctx)}
	}
	if err == nil {
		if err = out.Close(); err != nil {
			err = inputLost(filepath.Dir(file), err)
		}
	}
	return err
}

// source remembers the error of reading, to tell it from one of writing.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err //nolint:wrapcheck // an io.Reader passes on the error of another
}

func inputLost(dir string, err error) error {
	return &hufu.Error{Op: "keep input", Path: dir, Kind: hufu.KindUnreadable, Code: "put_input_kept", Err: err}
}

// hasInput reports whether standard input is among the sources of a put.
func hasInput(sources []string) bool { return slices.Contains(sources, "-") }
