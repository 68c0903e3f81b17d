package main

import (
	"bytes"
	"errors"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/cobra"

	"hufu"
	"hufu/internal/ca"
	"hufu/internal/cli"
	"hufu/internal/meta"
)

// configuration is the file hufud.toml of a data folder, with what the
// environment says instead. A data folder needs none.
type configuration struct {
	Listen    string   `toml:"listen"`    // where the server listens
	Advertise string   `toml:"advertise"` // what clients and invitations are told
	Names     []string `toml:"names"`     // of the server's certificate
	// Invitations is invitesUsers or invitesAdmin.
	Invitations string `toml:"invitations"`
	Database    struct {
		URL string `toml:"url"`
	} `toml:"database"`
	Store struct {
		URL           string `toml:"url"`
		Endpoint      string `toml:"endpoint"`
		Region        string `toml:"region"`
		PathStyle     *bool  `toml:"path_style"`
		AccessKey     string `toml:"access_key"`
		AccessKeyFile string `toml:"access_key_file"`
		SecretKey     string `toml:"secret_key"`
		SecretKeyFile string `toml:"secret_key_file"`
		Grace         string `toml:"grace"` // how long objects are kept that no file needs any more
	} `toml:"store"`

	pathStyle string // HUFU_STORE_PATH_STYLE
}

// pathStyleVariable overrides store.path_style.
const pathStyleVariable = "HUFU_STORE_PATH_STYLE"

// The values of a data folder without a configuration.
const (
	defaultDatabase = "sqlite:" + ca.Database
	defaultStore    = "disk:files"
	defaultGrace    = "720h" // a backup of the database that is restored must be younger
)

// The values of invitations: users may invite further devices of their own, or only the
// administrator invites.
const (
	invitesUsers = "users"
	invitesAdmin = "administrator"
)

// setting is one value of a configuration that can be shown and overridden.
type setting struct {
	key      string
	value    *string
	variable string // of the environment
	preset   string
	show     func(string) string // without secrets; as it is if nil
}

func (c *configuration) settings() []setting {
	hidden := func(s string) string {
		if s == "" {
			return ""
		}
		return "xxxxx"
	}
	return []setting{
		{key: "listen", value: &c.Listen, variable: "HUFU_LISTEN", preset: defaultAddress},
		{key: "advertise", value: &c.Advertise, variable: "HUFU_ADVERTISE"},
		{key: "invitations", value: &c.Invitations, variable: "HUFU_INVITATIONS", preset: invitesUsers},
		{key: "database.url", value: &c.Database.URL, variable: "HUFU_DATABASE_URL", preset: defaultDatabase, show: redacted},
		{key: "store.url", value: &c.Store.URL, variable: "HUFU_STORE_URL", preset: defaultStore, show: redacted},
		{key: "store.endpoint", value: &c.Store.Endpoint, variable: "HUFU_STORE_ENDPOINT", show: redacted},
		{key: "store.region", value: &c.Store.Region},
		{key: "store.access_key", value: &c.Store.AccessKey, variable: "HUFU_STORE_ACCESS_KEY", show: hidden},
		{key: "store.access_key_file", value: &c.Store.AccessKeyFile},
		{key: "store.secret_key", value: &c.Store.SecretKey, variable: "HUFU_STORE_SECRET_KEY", show: hidden},
		{key: "store.secret_key_file", value: &c.Store.SecretKeyFile},
		{key: "store.grace", value: &c.Store.Grace, variable: "HUFU_STORE_GRACE", preset: defaultGrace},
	}
}

// redacted returns a URL of the configuration to be shown: without the password
// of a database and without anything else that may be a secret.
func redacted(raw string) string {
	const hidden = "xxxxx"
	if strings.HasPrefix(raw, "sqlite:") {
		return raw
	}
	if src, err := meta.Parse(raw, ""); err == nil {
		return src.String()
	}
	u, err := url.Parse(raw)
	switch {
	case err == nil && u.Host != "" && !strings.Contains(u.EscapedPath(), "@"):
		if u.User != nil {
			u.User = url.User(hidden)
		}
		if u.RawQuery != "" {
			u.RawQuery = hidden
		}
		if u.Fragment != "" {
			u.Fragment, u.RawFragment = hidden, ""
		}
		return u.String()
	case raw == "" || raw == defaultStore || hufu.ValidHost(raw):
		return raw
	}
	if host, port, err := net.SplitHostPort(raw); err == nil && hufu.ValidHost(host) {
		if _, err := strconv.ParseUint(port, 10, 16); err == nil {
			return raw
		}
	}
	return hidden
}

// parseConfig reads the text of a configuration. A key that is not known is an
// error with its line.
func parseConfig(path string, text []byte) (*configuration, error) {
	c := &configuration{}
	d := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields()
	err := d.Decode(c)
	if err == nil {
		return c, nil
	}
	if unknown, ok := errors.AsType[*toml.StrictMissingError](err); ok && len(unknown.Errors) > 0 {
		row, _ := unknown.Errors[0].Position()
		return nil, cli.Usage("config_key", "file", path, "line", strconv.Itoa(row), "key", strings.Join(unknown.Errors[0].Key(), "."))
	}
	row, what := 0, err.Error()
	if wrong, ok := errors.AsType[*toml.DecodeError](err); ok {
		row, _ = wrong.Position()
		what = strings.TrimPrefix(wrong.Error(), "toml: ")
	}
	return nil, cli.Usage("config_syntax", "file", path, "line", strconv.Itoa(row), "what", what)
}

// config reads the configuration of the data folder and returns where each value
// comes from, by key.
func (a *app) config() (*configuration, map[string]string, error) {
	path := filepath.Join(a.data, ca.ConfigFile)
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case errors.Is(err, fs.ErrPermission):
		return nil, nil, a.noData(err)
	case err != nil:
		return nil, nil, &hufu.Error{Op: "read configuration", Path: path, Kind: hufu.KindUnreadable, Err: err}
	}
	c, err := parseConfig(path, text)
	if err != nil {
		return nil, nil, err
	}
	from := a.complete(c)
	return c, from, c.check()
}

// complete puts in the values of the environment, then the defaults of what is
// still empty, and returns where each value comes from.
func (a *app) complete(c *configuration) (from map[string]string) {
	from = map[string]string{"names": "default", "store.path_style": "default"}
	if len(c.Names) > 0 {
		from["names"] = ca.ConfigFile
	}
	if c.Store.PathStyle != nil {
		from["store.path_style"] = ca.ConfigFile
	}
	if c.pathStyle = a.Getenv(pathStyleVariable); c.pathStyle != "" {
		c.Store.PathStyle, from["store.path_style"] = new(c.pathStyle == "true"), pathStyleVariable
	}
	for _, s := range c.settings() {
		from[s.key] = ca.ConfigFile
		if v := a.Getenv(s.variable); s.variable != "" && v != "" {
			*s.value, from[s.key] = v, s.variable
		}
		if *s.value == "" {
			*s.value, from[s.key] = s.preset, "default"
		}
	}
	if u, err := url.Parse(c.Store.Endpoint); c.Store.PathStyle == nil && err == nil && net.ParseIP(u.Hostname()) != nil {
		c.Store.PathStyle, from["store.path_style"] = new(true), "store.endpoint" // no bucket is in front of an address
	}
	if c.Store.PathStyle == nil {
		c.Store.PathStyle = new(false)
	}
	return from
}

// check refuses what cannot be.
func (c *configuration) check() error {
	if !c.onDisk() && !strings.HasPrefix(c.Store.URL, "s3://") {
		return cli.Usage("config_store", "url", redacted(c.Store.URL))
	}
	if d, err := time.ParseDuration(c.Store.Grace); err != nil || d < 0 {
		return cli.Usage("config_grace", "value", c.Store.Grace)
	}
	if v := c.Invitations; v != invitesUsers && v != invitesAdmin {
		return cli.Usage("config_invitations", "value", v)
	}
	if v := c.pathStyle; v != "" && v != "true" && v != "false" {
		return cli.Usage("config_path_style", "variable", pathStyleVariable, "value", v)
	}
	for _, n := range c.Names {
		if !hufu.ValidHost(n) {
			return &hufu.Error{Op: "read configuration", Kind: hufu.KindUsage, Code: "server_name", Args: map[string]string{"name": n}}
		}
	}
	return nil
}

// grace returns how long objects are kept that no file needs any more.
func (c *configuration) grace() time.Duration {
	d, _ := time.ParseDuration(c.Store.Grace) // checked already
	return d
}

// database returns the database of the data folder.
func (a *app) database() (meta.Source, error) {
	c, _, err := a.config()
	if err != nil {
		return meta.Source{}, err
	}
	return meta.Parse(c.Database.URL, a.data)
}

// sign is the file that shows that there is a data folder: its database, or its
// CA if the database is elsewhere.
func (a *app) sign() (string, error) {
	src, err := a.database()
	if err != nil {
		return "", err
	}
	if src.Shared() {
		return filepath.Join(a.data, ca.Folder), nil
	}
	return src.Path(), nil
}

// advertised returns the address that clients are told: that of --advertise at the
// last start, else "advertise" of the configuration, else its first name with the
// port that the server listens on, else none.
func (a *app) advertised() (string, error) {
	_, told := a.listenLines()
	return a.advertisedAt(a.listening(), told)
}

// advertisedAt is advertised for a server that listens at an address and was given --advertise, or
// not.
func (a *app) advertisedAt(listening, flag string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	c, _, err := a.config()
	if err != nil || c.Advertise != "" || len(c.Names) == 0 {
		return c.advertise(), err
	}
	_, port, err := net.SplitHostPort(listening)
	if err != nil {
		return "", cli.Usage("admin_address_form", "address", listening)
	}
	return net.JoinHostPort(c.Names[0], port), nil
}

// serverNames returns the names of the server by its configuration.
func (a *app) serverNames() ([]string, error) {
	c, _, err := a.config()
	if err != nil {
		return nil, err
	}
	names := slices.Clone(c.Names)
	if host, _, err := net.SplitHostPort(c.Advertise); err == nil && !slices.Contains(names, host) {
		names = append(names, host)
	}
	return names, nil
}

func (c *configuration) advertise() string {
	if c == nil {
		return ""
	}
	return c.Advertise
}

func newConfig(a *app) *cobra.Command {
	cmd := a.Command("config", "hufud.config", "hufud config", "HUFU_LISTEN=0.0.0.0:9999 hufud config --json")
	cmd.Flags().BoolVar(&a.json, "json", false, a.Cat.T("hufud.flag.json"))
	cmd.RunE = func(*cobra.Command, []string) error {
		if _, err := os.Stat(a.data); err != nil {
			return a.noData(err)
		}
		if err := a.private(); err != nil {
			return err
		}
		c, from, err := a.config()
		if err != nil {
			return err
		}
		lines := []cli.Setting{{Key: "names", Value: append([]string{}, c.Names...), From: from["names"]}}
		for _, s := range c.settings() {
			shown := *s.value
			if s.show != nil {
				shown = s.show(shown)
			}
			lines = append(lines, cli.Setting{Key: s.key, Value: shown, From: from[s.key]})
			if s.key == "store.region" {
				lines = append(lines, cli.Setting{Key: "store.path_style", Value: *c.Store.PathStyle, From: from["store.path_style"]})
			}
		}
		return a.Settings(lines, a.json, true)
	}
	return cmd
}

// planned is what init is asked for: by its flags, a file and the environment.
type planned struct {
	names    []string
	database string // URL
	text     []byte // of hufud.toml, nil if the folder needs none
	config   *configuration
}

// plan puts together the configuration of a new data folder. What a flag says is
// added to the file, and refused where the file says something else. The URL in
// HUFU_DATABASE_URL is added too, if neither flag nor file has one.
func (a *app) plan(file, database string, names []string) (planned, error) {
	p := planned{names: names}
	c := &configuration{}
	if file != "" {
		var err error
		if p.text, err = os.ReadFile(file); err != nil {
			return p, &hufu.Error{Op: "read configuration", Path: file, Kind: hufu.KindUsage, Code: "config_unreadable", Err: err}
		}
		if c, err = parseConfig(file, p.text); err != nil {
			return p, err
		}
	}
	switch {
	case len(c.Names) == 0:
	case len(names) == 0:
		p.names = c.Names
	case !slices.Equal(names, c.Names):
		return p, cli.Usage("init_differs", "flag", "--name", "key", "names", "file", file)
	}
	if database != "" && c.Database.URL != "" && database != c.Database.URL {
		return p, cli.Usage("init_differs", "flag", "--database", "key", "database.url", "file", file)
	}
	const variable = "HUFU_DATABASE_URL"
	given := a.Getenv(variable) // every later command is going to heed it
	switch {
	case given == "":
		given = database
	case database != "" && database != given:
		return p, cli.Usage("init_database_differs", "one", "--database", "other", variable)
	case c.Database.URL != "" && c.Database.URL != given:
		return p, cli.Usage("init_database_differs", "one", file, "other", variable)
	}
	if p.text != nil || given != "" {
		if len(c.Names) == 0 && len(names) > 0 {
			p.text = slices.Concat(tomlOf(map[string]any{"names": names}), p.text)
		}
		if c.Database.URL == "" && given != "" {
			p.text = slices.Concat(p.text, []byte("\n"), tomlOf(map[string]any{"database": map[string]any{"url": given}}))
		}
		if _, err := parseConfig(ca.ConfigFile, p.text); err != nil { // the file has an empty table for it
			return p, err
		}
	}
	a.complete(c)
	p.config, p.database = c, c.Database.URL
	if database != "" {
		p.database = database
	}
	return p, c.check()
}

func tomlOf(v map[string]any) []byte {
	text, _ := toml.Marshal(v) // of strings and lists of them
	return text
}
