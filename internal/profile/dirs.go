package profile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"hufu"
	"hufu/internal/atomicfile"
	"hufu/internal/session"
)

// Default is the profile that ":/path" means unless another was chosen.
const Default = "default"

// Dirs are the folders in which the client keeps its files, and the way to the servers of the
// profiles in them.
type Dirs struct {
	Config string         // profiles: names, certificates, keys
	State  string         // logins, journals of unfinished downloads, spools
	Proxy  *session.Proxy // to reach all servers through, nil for none
}

// UserDirs returns the folders of the XDG base directory specification for the
// user who runs the program.
func UserDirs() (Dirs, error) {
	config, err := xdg("XDG_CONFIG_HOME", ".config")
	if err != nil {
		return Dirs{}, err
	}
	state, err := xdg("XDG_STATE_HOME", ".local/state")
	return Dirs{Config: config, State: state}, err
}

func xdg(name, below string) (string, error) {
	dir := os.Getenv(name)
	if !filepath.IsAbs(dir) { // the specification: a relative one is ignored
		home, err := os.UserHomeDir()
		if err != nil {
			return "", &hufu.Error{Op: "find folders", Kind: hufu.KindUsage, Code: "no_home", Err: err}
		}
		dir = filepath.Join(home, filepath.FromSlash(below))
		if runtime.GOOS == "windows" {
			if dir, err = os.UserConfigDir(); err != nil {
				return "", &hufu.Error{Op: "find folders", Kind: hufu.KindUsage, Code: "no_home", Err: err}
			}
		}
	}
	return filepath.Join(dir, "hufu"), nil
}

// Journals is the folder for journals of unfinished downloads.
func (d Dirs) Journals() string { return filepath.Join(d.State, "journals") }

// Spools is the folder below State for the files that a browser has handed over. A folder that
// was put aside has an ending, as in spool.broken.
const Spools = "spool"

// Profile is the folder with the certificates of a profile.
func (d Dirs) Profile(name string) string { return filepath.Join(d.Config, "profiles", name) }

func (d Dirs) profileState(name string) string { return filepath.Join(d.State, "profiles", name) }

// DefaultFile is the file with the name of the profile that ":/path" means, if one was chosen.
func (d Dirs) DefaultFile() string { return filepath.Join(d.Config, "default-profile") }

// Default returns the name of the profile that ":/path" means.
func (d Dirs) Default() (string, error) {
	data, err := os.ReadFile(d.DefaultFile())
	if errors.Is(err, fs.ErrNotExist) {
		return Default, nil
	}
	if err != nil {
		return "", unread(d.DefaultFile(), Default, err)
	}
	name := strings.TrimSpace(string(data))
	if !Valid(name) {
		return "", &hufu.Error{Op: "read default profile", Path: d.DefaultFile(), Kind: hufu.KindUsage, Code: "profile_default_broken"}
	}
	return name, nil
}

// HasDefault reports whether a profile was chosen as the one that ":/path" means.
func (d Dirs) HasDefault() bool {
	_, err := os.Stat(d.DefaultFile())
	return err == nil
}

// SetDefault chooses the profile that ":/path" means.
func (d Dirs) SetDefault(name string) error {
	if err := d.Has(name); err != nil {
		return err
	}
	return writeFile(d.DefaultFile(), []byte(name+"\n"))
}

// Has returns nil if there is a profile of this name, even a broken one.
func (d Dirs) Has(name string) error {
	if !Valid(name) {
		return &hufu.Error{Op: "profile", Path: name, Kind: hufu.KindUsage, Code: "profile_name"}
	}
	file := filepath.Join(d.Profile(name), "profile.json")
	_, err := os.Stat(file)
	if errors.Is(err, fs.ErrPermission) {
		return unread(file, name, err)
	}
	if err != nil {
		return &hufu.Error{Op: "profile", Path: name, Kind: hufu.KindNotFound, Code: "profile_unknown", Args: map[string]string{"profile": name}, Err: err}
	}
	return nil
}

// Removable returns nil if there is a profile of this name, or what is left of one
// whose removal failed.
func (d Dirs) Removable(name string) error {
	err := d.Has(name)
	if hufu.CodeOf(err) == "profile_unknown" {
		for _, path := range []string{d.profileState(name), d.Profile(name)} {
			if _, left := os.Lstat(path); left == nil {
				return nil
			}
		}
	}
	return err
}

// Remove removes a profile with its key and its login. If it was chosen as the
// default, the choice is removed too. After an error it can be called again, but
// for one with the code "profile_may_return": then nothing is left to remove.
func (d Dirs) Remove(name string) error {
	if err := d.Removable(name); err != nil {
		return err
	}
	if chosen, err := d.Default(); err == nil && chosen == name {
		if err := removeFile("remove profile", d.DefaultFile()); err != nil {
			return err
		}
	}
	// The key first: after an interruption nobody can log in with the rest.
	if err := removeFile("remove profile", filepath.Join(d.Profile(name), "client.key")); err != nil {
		return err
	}
	for _, path := range []string{d.profileState(name), d.Profile(name)} {
		code := "cannot_write"
		err := os.RemoveAll(path)
		if err == nil {
			err = atomicfile.SyncFolder(filepath.Dir(path))
			if path == d.Profile(name) {
				code = "profile_may_return"
			}
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // nothing was ever kept there
			return &hufu.Error{Op: "remove profile", Path: path, Kind: hufu.KindUnreadable, Code: code, Args: map[string]string{"profile": name}, Err: err}
		}
	}
	return nil
}

// List returns the names of all profiles.
func List(dirs Dirs) ([]string, error) {
	list, err := os.ReadDir(filepath.Join(dirs.Config, "profiles"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, unread(filepath.Join(dirs.Config, "profiles"), "", err)
	}
	var names []string
	for _, d := range list {
		// A profile that must not be read is listed: its use tells why.
		if err := dirs.Has(d.Name()); err == nil || hufu.CodeOf(err) == "profile_denied" {
			names = append(names, d.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// unread returns the error of a profile's file that cannot be read.
func unread(path, profile string, err error) error {
	e := &hufu.Error{Op: "read profile", Path: path, Kind: hufu.KindUsage, Code: "profile_broken", Args: map[string]string{"profile": profile}, Err: err}
	switch {
	case errors.Is(err, fs.ErrPermission):
		e.Kind, e.Code = hufu.KindUnreadable, "profile_denied"
	case errors.Is(err, fs.ErrNotExist):
		e.Code = "profile_file_missing"
	}
	return e
}

// Keep writes the file name below d.State, whole and durably, mode 0600.
func (d Dirs) Keep(name string, data []byte) error {
	return writeFile(filepath.Join(d.State, name), data)
}

// writeFile replaces a file whole and durably, mode 0600.
func writeFile(path string, data []byte) error {
	return writeFiles(filepath.Dir(path), atomicfile.File{Name: filepath.Base(path), Data: data})
}

// writeFiles replaces files that belong together.
func writeFiles(dir string, files ...atomicfile.File) error {
	err := atomicfile.MkdirAll(dir, 0o700)
	if err == nil {
		err = atomicfile.WriteAll(dir, 0o600, files...)
	}
	if err != nil {
		path := filepath.Join(dir, files[len(files)-1].Name)
		return &hufu.Error{Op: "write file", Path: path, Kind: hufu.KindUnreadable, Code: "cannot_write", Err: err}
	}
	return nil
}

// removeFile removes a file durably. A file that is not there is no error.
func removeFile(op, path string) error {
	err := os.Remove(path)
	if err == nil || errors.Is(err, fs.ErrNotExist) { // until the folder is synced, a power cut may bring a removed name back
		err = atomicfile.SyncFolder(filepath.Dir(path))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &hufu.Error{Op: op, Path: path, Kind: hufu.KindUnreadable, Code: "cannot_write", Err: err}
	}
	return nil
}
