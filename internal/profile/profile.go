package profile

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"hufu"
	"hufu/internal/atomicfile"
	"hufu/internal/identity"
)

// Profile is one server and the identity that this computer has there.
type Profile struct {
	Name    string `json:"-"`
	Address string `json:"address"` // HOST:PORT to dial
	Host    string `json:"host"`    // the name that the server must prove
	User    string `json:"user"`
	Device  string `json:"device"`
	// Invitation is the digest of the secret that the profile was made with. The
	// same command, given again, goes on where it was interrupted.
	Invitation string `json:"invitation,omitempty"`
	// Own means that key and certificate were made elsewhere. The server does
	// not renew them.
	Own bool `json:"own_certificate,omitempty"`
	// CommonName accepts a server whose name stands in CN alone.
	CommonName bool `json:"accept_common_name,omitempty"`

	dirs Dirs
	held map[string][]byte // files of a profile that is not saved yet
}

// Valid reports whether name can be a profile: two to 32 letters, digits, '.',
// '_' or '-', so that it is never a drive letter or a path.
func Valid(name string) bool {
	return len(name) >= 2 && len(name) <= 32 && name[0] != '.' && name[0] != '-' &&
		!strings.ContainsFunc(name, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
		})
}

// New returns a profile that is not saved yet.
func New(dirs Dirs, name, host string, port int) (*Profile, error) {
	if !Valid(name) {
		return nil, &hufu.Error{Op: "profile", Path: name, Kind: hufu.KindUsage, Code: "profile_name"}
	}
	return &Profile{Name: name, Address: net.JoinHostPort(host, strconv.Itoa(port)), Host: host, dirs: dirs}, nil
}

// Load reads a profile. If there is none, the error is KindUsage with the code
// not_enrolled: the user must enroll first.
func Load(dirs Dirs, name string) (*Profile, error) {
	if !Valid(name) {
		return nil, &hufu.Error{Op: "profile", Path: name, Kind: hufu.KindUsage, Code: "profile_name"}
	}
	p := &Profile{Name: name, dirs: dirs}
	data, err := os.ReadFile(p.file("profile.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &hufu.Error{Op: "profile", Path: name, Kind: hufu.KindUsage, Code: "not_enrolled", Args: map[string]string{"profile": name}}
	}
	if err != nil {
		return nil, unread(p.file("profile.json"), name, err)
	}
	if err := json.Unmarshal(data, p); err != nil {
		return nil, &hufu.Error{Op: "profile", Path: p.file("profile.json"), Kind: hufu.KindUsage, Code: "profile_broken", Err: err}
	}
	return p, nil
}

// Exists returns the error of enrolling under a name that is taken.
func Exists(name string) error {
	return &hufu.Error{
		Op: "enroll", Path: name, Kind: hufu.KindUsage, Code: "profile_exists",
		Args: map[string]string{"profile": name},
	}
}

// FingerprintWords returns the words that stand for the fingerprint of an
// invitation.
func FingerprintWords(inv hufu.Invitation) string { return identity.FingerprintWords(inv.Fingerprint) }

// Dirs returns the folders in which the profile is kept.
func (p *Profile) Dirs() Dirs { return p.dirs }

func (p *Profile) file(name string) string { return filepath.Join(p.dirs.Profile(p.Name), name) }

func (p *Profile) stateFile(name string) string {
	return filepath.Join(p.dirs.profileState(p.Name), name)
}

// save writes key, certificates and profile. An empty argument leaves its file as it is. An error
// or a crash may leave the first files new and the others old: profile.json is the last, and
// enrolling again mends it.
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

// saveAgain writes again a profile that may not have become durable.
func (p *Profile) saveAgain() error {
	key, err := p.read("client.key")
	if err != nil {
		return err
	}
	pair, err := p.read("client.crt")
	if err != nil {
		return err
	}
	chain, err := identity.ParseCerts(pair)
	if err != nil {
		return err
	}
	roots, err := p.Roots()
	if err != nil {
		return err
	}
	return p.save(key, chain, roots)
}

// MoveTo saves a new address of the same server.
func (p *Profile) MoveTo(address string) error {
	if p.Address == address {
		return nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return &hufu.Error{Op: "move profile", Path: address, Kind: hufu.KindUsage, Code: "bad_address", Err: err}
	}
	p.Address = address
	if !p.Own { // with files of one's own the name in the server's certificate may differ from the address
		p.Host = host
	}
	return p.save(nil, nil, nil)
}

// Certificate reads certificate and key of the user. It reads them each time, so
// that the next connection uses a renewed certificate.
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

// withoutPassphrase adds to the error of a key with a passphrase how to remove
// it: no command takes a passphrase.
func withoutPassphrase(path string, err error) error {
	if hufu.CodeOf(err) != "key_passphrase_needed" {
		return err
	}
	return &hufu.Error{Op: "read key", Path: path, Kind: hufu.KindUsage, Code: "key_passphrase_remove", Err: err}
}

// Roots reads the pinned root of the server.
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
		return nil, unread(p.file(name), p.Name, err)
	}
	return data, nil
}
