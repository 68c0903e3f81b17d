// Package client is what a user can ask of one server: enroll, log in, look,
// transfer. It owns the profiles on this machine (who we are at which server),
// the connections and their coming back, and the reason when we are refused.
// It promises that no byte goes to a server that has not proven its name.
package client

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"hufu"
	"hufu/internal/atomicfile"
	"hufu/internal/identity"
)

// DefaultProfile is the profile that ":/path" means unless another was chosen.
const DefaultProfile = "default"

// Dirs are where the client keeps its files.
type Dirs struct {
	Config string // profiles: names, certificates, keys
	State  string // logins, journals of unfinished downloads, spools
}

// Journals is the folder for journals of unfinished downloads.
func (d Dirs) Journals() string { return filepath.Join(d.State, "journals") }

// Profile is the folder with the certificates of a profile.
func (d Dirs) Profile(name string) string { return filepath.Join(d.Config, "profiles", name) }

func (d Dirs) profileState(name string) string { return filepath.Join(d.State, "profiles", name) }

func (d Dirs) defaultFile() string { return filepath.Join(d.Config, "default-profile") }

// Default is the name of the profile that ":/path" means.
func (d Dirs) Default() (string, error) {
	data, err := os.ReadFile(d.defaultFile())
	if errors.Is(err, fs.ErrNotExist) {
		return DefaultProfile, nil
	}
	name := strings.TrimSpace(string(data))
	if err != nil || !ValidProfile(name) {
		return "", &hufu.Error{Op: "read default profile", Path: d.defaultFile(), Kind: hufu.KindUsage, Code: "profile_default_broken", Err: err}
	}
	return name, nil
}

// SetDefault chooses the profile that ":/path" means.
func (d Dirs) SetDefault(name string) error {
	if err := d.HasProfile(name); err != nil {
		return err
	}
	return writeFile(d.defaultFile(), []byte(name+"\n"))
}

// HasProfile is nil if there is a profile of this name, be it broken.
func (d Dirs) HasProfile(name string) error {
	if !ValidProfile(name) {
		return &hufu.Error{Op: "profile", Path: name, Kind: hufu.KindUsage, Code: "profile_name"}
	}
	if _, err := os.Stat(filepath.Join(d.Profile(name), "profile.json")); err != nil {
		return &hufu.Error{Op: "profile", Path: name, Kind: hufu.KindNotFound, Code: "profile_unknown", Args: map[string]string{"profile": name}, Err: err}
	}
	return nil
}

// RemoveProfile removes a profile with its key, its login, and the choice as
// the default.
func (d Dirs) RemoveProfile(name string) error {
	if err := d.HasProfile(name); err != nil {
		return err
	}
	if chosen, err := d.Default(); err == nil && chosen == name {
		if err := removeFile("remove profile", d.defaultFile()); err != nil {
			return err
		}
	}
	// The key first: what an interruption leaves is no profile to get in with.
	if err := removeFile("remove profile", filepath.Join(d.Profile(name), "client.key")); err != nil {
		return err
	}
	for _, path := range []string{d.profileState(name), d.Profile(name)} {
		if err := os.RemoveAll(path); err != nil {
			return &hufu.Error{Op: "remove profile", Path: path, Kind: hufu.KindUnreadable, Code: "cannot_write", Err: err}
		}
	}
	return nil
}

// UserDirs are the folders of the XDG base directory specification for the
// person running the program.
func UserDirs() (Dirs, error) {
	config, err := xdg("XDG_CONFIG_HOME", ".config")
	if err != nil {
		return Dirs{}, err
	}
	state, err := xdg("XDG_STATE_HOME", ".local/state")
	return Dirs{config, state}, err
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

// Profile is who we are at one server.
type Profile struct {
	Name    string `json:"-"`
	Address string `json:"address"` // HOST:PORT to dial
	Host    string `json:"host"`    // the name that the server must prove
	User    string `json:"user"`
	Device  string `json:"device"`
	// Invitation is the digest of the secret that the profile was made with: the
	// same command, given again, goes on.
	Invitation string `json:"invitation,omitempty"`
	// Own says that key and certificate were made elsewhere: the server does
	// not renew them.
	Own bool `json:"own_certificate,omitempty"`
	// CommonName accepts a server whose name stands in CN alone.
	CommonName bool `json:"accept_common_name,omitempty"`

	dirs Dirs
	held map[string][]byte // files of a profile that is not saved yet
}

// ValidProfile says whether name can be a profile: two to 32 letters, digits,
// '.', '_' or '-', so that it is never a drive letter or a path.
func ValidProfile(name string) bool {
	return len(name) >= 2 && len(name) <= 32 && name[0] != '.' && name[0] != '-' &&
		!strings.ContainsFunc(name, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
		})
}

// NewProfile prepares a profile that is not saved yet.
func NewProfile(dirs Dirs, name, host string, port int) (*Profile, error) {
	if !ValidProfile(name) {
		return nil, &hufu.Error{Op: "profile", Path: name, Kind: hufu.KindUsage, Code: "profile_name"}
	}
	return &Profile{Name: name, Address: net.JoinHostPort(host, strconv.Itoa(port)), Host: host, dirs: dirs}, nil
}

// LoadProfile reads a profile. One that is not there is KindUsage, because
// enrolling is what is missing.
func LoadProfile(dirs Dirs, name string) (*Profile, error) {
	if !ValidProfile(name) {
		return nil, &hufu.Error{Op: "profile", Path: name, Kind: hufu.KindUsage, Code: "profile_name"}
	}
	p := &Profile{Name: name, dirs: dirs}
	data, err := os.ReadFile(p.file("profile.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &hufu.Error{Op: "profile", Path: name, Kind: hufu.KindUsage, Code: "not_enrolled", Args: map[string]string{"profile": name}}
	}
	if err == nil {
		err = json.Unmarshal(data, p)
	}
	if err != nil {
		return nil, &hufu.Error{Op: "profile", Path: p.file("profile.json"), Kind: hufu.KindUsage, Code: "profile_broken", Err: err}
	}
	return p, nil
}

// ProfileExists is the error of enrolling into a profile that is there.
func ProfileExists(name string) error {
	return &hufu.Error{
		Op: "enroll", Path: name, Kind: hufu.KindUsage, Code: "profile_exists",
		Args: map[string]string{"profile": name},
	}
}

// Profiles lists the names of all profiles.
func Profiles(dirs Dirs) ([]string, error) {
	list, err := os.ReadDir(filepath.Join(dirs.Config, "profiles"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, d := range list {
		if _, err := os.Stat(filepath.Join(dirs.Config, "profiles", d.Name(), "profile.json")); err == nil && ValidProfile(d.Name()) {
			names = append(names, d.Name())
		}
	}
	slices.Sort(names)
	return names, err
}

func (p *Profile) file(name string) string { return filepath.Join(p.dirs.Profile(p.Name), name) }

func (p *Profile) stateFile(name string) string {
	return filepath.Join(p.dirs.profileState(p.Name), name)
}

// Dirs are the folders the profile lives in.
func (p *Profile) Dirs() Dirs { return p.dirs }

// save writes key, certificates and profile; what is empty stays as it is. An
// error leaves the old profile or the new one. A crash may leave the first files
// new and the others old: profile.json is the last, and enrolling again mends it.
func (p *Profile) save(keyPEM []byte, chain, root []*identity.Certificate) error {
	data, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return &hufu.Error{Op: "save profile", Kind: hufu.KindInternal, Err: err}
	}
	files := slices.DeleteFunc([]atomicfile.File{
		{Name: "client.key", Data: keyPEM},
		{Name: "client.crt", Data: identity.MarshalCerts(chain...)},
		{Name: "root.crt", Data: identity.MarshalCerts(root...)},
		{Name: "profile.json", Data: append(data, '\n')},
	}, func(f atomicfile.File) bool { return len(f.Data) == 0 })
	return writeFiles(p.dirs.Profile(p.Name), files...)
}

// MoveTo keeps the address at which the same server is found from now on.
func (p *Profile) MoveTo(address string) error {
	if p.Address == address {
		return nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return &hufu.Error{Op: "move profile", Path: address, Kind: hufu.KindUsage, Code: "bad_address", Err: err}
	}
	p.Address = address
	if !p.Own { // which may prove a name that is no address
		p.Host = host
	}
	return p.save(nil, nil, nil)
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

// removeFile forgets a file durably; one that is not there is forgotten.
func removeFile(op, path string) error {
	err := os.Remove(path)
	if err == nil || errors.Is(err, fs.ErrNotExist) { // the name may come back that is gone for now
		err = atomicfile.SyncFolder(filepath.Dir(path))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &hufu.Error{Op: op, Path: path, Kind: hufu.KindUnreadable, Code: "cannot_write", Err: err}
	}
	return nil
}

// Certificate reads our certificate and key anew, so that a renewal is used by
// the next connection.
func (p *Profile) Certificate() (*tls.Certificate, error) {
	certs, err := p.read("client.crt")
	if err != nil {
		return nil, err
	}
	key, err := p.read("client.key")
	if err == nil && p.held == nil {
		err = identity.OwnersAlone(p.file("client.key"))
	}
	if err != nil {
		return nil, err
	}
	pair, err := identity.ParsePair(certs, key, nil)
	return pair, withoutPassphrase(p.file("client.key"), err)
}

// withoutPassphrase says of a key what is to be done when it has a passphrase:
// no command takes one.
func withoutPassphrase(path string, err error) error {
	if hufu.CodeOf(err) != "key_passphrase_needed" {
		return err
	}
	return &hufu.Error{Op: "read key", Path: path, Kind: hufu.KindUsage, Code: "key_passphrase_remove", Err: err}
}

// Roots reads the CA that this profile believes in.
func (p *Profile) Roots() ([]*identity.Certificate, error) {
	data, err := p.read("root.crt")
	if err != nil {
		return nil, err
	}
	return identity.ParseCerts(data)
}

func (p *Profile) read(name string) ([]byte, error) {
	if data, ok := p.held[name]; ok {
		return data, nil
	}
	data, err := os.ReadFile(p.file(name))
	if err != nil {
		return nil, &hufu.Error{Op: "read profile", Path: p.file(name), Kind: hufu.KindUsage, Code: "profile_broken", Err: err}
	}
	return data, nil
}

// Token is the login that was kept, nil if there is none.
func (p *Profile) Token() []byte {
	data, err := os.ReadFile(p.stateFile("token"))
	if err != nil {
		return nil
	}
	return data
}

// SetToken keeps a login, or forgets it when it is nil. One that cannot be kept is
// forgotten.
func (p *Profile) SetToken(token []byte) error {
	if token == nil {
		return removeFile("forget login", p.stateFile("token"))
	}
	err := writeFile(p.stateFile("token"), token)
	if err != nil {
		_ = removeFile("forget login", p.stateFile("token")) // the name may hold it
	}
	return err
}
