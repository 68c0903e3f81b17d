package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"hufu"
	"hufu/internal/ca"
	"hufu/internal/cli"
	"hufu/internal/meta"
)

func newDB(a *app) *cobra.Command { return a.Group("db", "hufud.db", newDBCopy(a)) }

func newDBCopy(a *app) *cobra.Command {
	cmd := a.Command("copy --to URL | --to-file FILE", "hufud.db.copy",
		"hufud db copy --to-file database.url",
		"hufud db copy --to sqlite:hufu.db --replace")
	var (
		to, file string
		replace  bool
	)
	cmd.Flags().StringVar(&to, "to", "", a.Cat.T("hufud.db.copy.flag.to"))
	cmd.Flags().StringVar(&file, "to-file", "", a.Cat.T("hufud.db.copy.flag.to_file"))
	cmd.Flags().BoolVar(&replace, "replace", false, a.Cat.T("hufud.db.copy.flag.replace"))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		raw, target, err := a.copyTarget(cmd.Context(), to, file)
		if err != nil {
			return err
		}
		unlock, err := a.lock(cmd.Context())
		if err != nil {
			return err
		}
		defer unlock()
		c, _, err := a.config()
		if err != nil {
			return err
		}
		if !c.onDisk() {
			return cli.Usage("db_copy_store", "store", redacted(c.Store.URL))
		}
		source, err := a.database()
		if err != nil {
			return err
		}
		if sameDatabase(source, target) {
			return cli.Usage("db_copy_same", "database", target.String())
		}
		for _, path := range databaseFiles(target) {
			if err := privateFile(path); err != nil {
				return err
			}
		}
		rows, err := a.rowsOf(cmd.Context(), source)
		if err != nil {
			return err
		}
		changed, err := a.fill(cmd.Context(), source, target, rows, replace)
		if err != nil {
			return err
		}
		return a.copied(source, target, raw, rows, changed)
	}
	return cmd
}

// copyTarget returns the database to copy to, and its URL as it was given: by --to, or by the
// first line of the file of --to-file. A password must come from a file that nobody else reads.
func (a *app) copyTarget(ctx context.Context, to, file string) (raw string, target meta.Source, err error) {
	switch {
	case (to == "") == (file == ""):
		return "", target, cli.Usage("db_copy_where")
	case file == "-":
		raw, err = a.Line(ctx)
	case file != "":
		raw, err = cli.FirstLine(file)
	default:
		raw = to
	}
	if err != nil {
		return "", target, err
	}
	raw = strings.TrimSpace(raw)
	if target, err = meta.Parse(raw, a.data); err != nil {
		return "", target, err
	}
	switch {
	case !target.HasPassword(), file == "-":
		return raw, target, nil
	case file == "":
		return "", target, cli.Usage("db_copy_password")
	}
	return raw, target, privateFile(file)
}

// privateFile refuses a file that other users of this computer can read or write. One that is not
// there, and a pipe, are fine.
func privateFile(path string) error {
	i, err := os.Stat(path)
	if path == "" || err != nil || !i.Mode().IsRegular() || i.Mode().Perm()&0o077 == 0 || runtime.GOOS == "windows" {
		return nil
	}
	return cli.Usage("db_copy_file_open", "file", path)
}

// sameDatabase reports whether both are one database, as far as their names tell.
func sameDatabase(a, b meta.Source) bool {
	return a.String() == b.String() || a.Path() != "" && b.Path() != "" && sameFile(a.Path(), b.Path())
}

// rowsOf reads all rows of the data folder's database. One without any is refused, because there
// is nothing to copy, and so is one that also holds the names of files: they would stay behind.
func (a *app) rowsOf(ctx context.Context, source meta.Source) (rows meta.Rows, err error) {
	files := false
	db, err := meta.Open(ctx, source)
	if err == nil {
		err = db.View(ctx, func(q meta.Queries) (err error) {
			if files, err = q.HoldsFiles(ctx); err != nil {
				return err
			}
			rows, err = q.Rows(ctx)
			return err
		})
		err = errors.Join(err, db.Close())
	}
	if err != nil {
		return rows, a.about(source, err)
	}
	if files {
		return rows, cli.Usage("db_copy_files", "database", source.String())
	}
	if len(rows.Users) == 0 && len(rows.Certificates) == 0 {
		return rows, cli.Usage("db_copy_empty", "database", source.String())
	}
	return rows, nil
}

// fill writes the rows that were read from source to target. Other rows there are replaced only if
// that is wanted and they belong to the same installation. It is an error if source was changed after
// it was read, because a certificate that was revoked there meanwhile would be valid in the copy.
func (a *app) fill(ctx context.Context, source, target meta.Source, rows meta.Rows, replace bool) (changed bool, err error) {
	db, err := meta.Open(ctx, target)
	if err != nil {
		return false, a.about(target, err)
	}
	changed, err = db.Fill(ctx, rows, func(have meta.Rows) error {
		switch {
		case !have.SameInstallation(rows):
			return cli.Usage("db_copy_foreign", "database", target.String())
		case !replace:
			return cli.Usage("db_copy_used", "database", target.String(), "from", source.String())
		}
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return false, a.about(target, err)
	}
	now, err := a.rowsOf(ctx, source)
	if err == nil && !now.Equal(rows) {
		err = &hufu.Error{Op: "copy database", Kind: hufu.KindUnavailable, Code: "db_copy_changed", Args: map[string]string{
			"database": target.String(), "from": source.String(),
		}}
	}
	return changed, err
}

// about returns an error that names the database it is about: there are two.
func (a *app) about(src meta.Source, err error) error {
	kind, code := hufu.KindOf(err), hufu.CodeOf(err)
	if err == nil || kind == hufu.KindCanceled || strings.HasPrefix(code, "db_copy_") {
		return err
	}
	if of := map[string]string{"database_corrupt": "db_copy_corrupt", "database_unreachable": "db_copy_unreachable"}[code]; of != "" {
		return &hufu.Error{Op: "copy database", Kind: kind, Code: of, Args: map[string]string{"database": src.String()}, Err: err}
	}
	if code == "database_unsure" {
		return &hufu.Error{Op: "copy database", Kind: kind, Code: "db_copy_unsure", Args: map[string]string{"database": src.String()}, Err: err}
	}
	why, fix := a.Cat.Error(err)
	return &hufu.Error{Op: "copy database", Kind: kind, Code: "db_copy_failed", Args: map[string]string{
		"database": src.String(), "why": why, "fix": fix,
	}, Err: err}
}

// copied reports the result of copy and what to do next; raw is the URL of target as it was given.
func (a *app) copied(source, target meta.Source, raw string, rows meta.Rows, changed bool) error {
	_, from, err := a.config()
	if err != nil {
		return err
	}
	lines := []string{a.Cat.T("hufud.db.copy.there", "from", source.String(), "to", target.String())}
	if changed {
		lines = []string{
			a.Cat.T("hufud.db.copy.done", "from", source.String(), "to", target.String()),
			a.Cat.T("hufud.db.copy.count", "users", len(rows.Users), "certificates", len(rows.Certificates),
				"invitations", len(rows.Invitations), "logins", len(rows.Logins)),
		}
	}
	file := filepath.Join(a.data, ca.ConfigFile)
	next := a.Cat.T("hufud.db.copy.next", "file", file)
	if variable := from["database.url"]; strings.HasPrefix(variable, "HUFU_") {
		next = a.Cat.T("hufud.db.copy.next_variable", "variable", variable, "file", file)
	}
	lines = append(lines, next)
	if target.Shared() {
		raw = target.String() // without its password
	}
	setting := strings.TrimSpace(string(tomlOf(map[string]any{"database": map[string]any{"url": raw}})))
	lines = append(lines, "", setting, "")
	if target.HasPassword() {
		lines = append(lines, a.Cat.T("hufud.db.copy.password"))
	}
	for _, line := range append(lines, a.Cat.T("hufud.db.copy.old", "from", source.String())) {
		if err := a.Printf("%s", line); err != nil {
			return err
		}
	}
	return nil
}
