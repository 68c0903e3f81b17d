package gui

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"hufu"
	"hufu/internal/atomicfile"
	"hufu/internal/profile"
)

// askTime is how long a running page may take to answer another program.
const askTime = 3 * time.Second

// instance is the information that a second hufu gui needs to open a window of
// the first, in a file that only its owner can read.
type instance struct {
	Address string `json:"address"`
	Key     string `json:"key"`
	path    string
}

func instanceFile(dirs profile.Dirs) string { return filepath.Join(dirs.State, "gui.json") }

func announce(dirs profile.Dirs, address string) (*instance, error) {
	in := &instance{address, rand.Text(), instanceFile(dirs)}
	data, err := json.Marshal(in)
	if err == nil {
		err = atomicfile.Write(in.path, data, 0o600)
	}
	if err != nil {
		return nil, &hufu.Error{Op: "announce", Path: in.path, Kind: hufu.KindUnreadable, Code: "cannot_write", Err: err}
	}
	return in, nil
}

func (in *instance) forget() { _ = os.Remove(in.path) }

// again answers a second "hufu gui" of the same user with a new start address.
func (s *Server) again(w http.ResponseWriter, r *http.Request) error {
	req, err := read[struct {
		Key string `json:"key"`
	}](r)
	if err != nil {
		return err
	}
	if s.instance == nil || subtle.ConstantTimeCompare([]byte(req.Key), []byte(s.instance.Key)) != 1 {
		s.fail(w, r, http.StatusUnauthorized, &hufu.Error{Op: "guard", Kind: hufu.KindPermission, Code: "gui_no_session"})
		return nil
	}
	return s.ok(w, map[string]string{"start": s.Start()})
}

// Ask gets a start address from the page that is already running.
func Ask(ctx context.Context, dirs profile.Dirs) (string, error) {
	fail := func(err error) (string, error) {
		return "", &hufu.Error{Op: "ask running page", Kind: hufu.KindUsage, Code: "gui_stuck", Err: err}
	}
	data, err := os.ReadFile(instanceFile(dirs))
	if err != nil {
		return fail(err)
	}
	var in instance
	if err := json.Unmarshal(data, &in); err != nil {
		return fail(err)
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	body, err := json.Marshal(map[string]string{"key": in.Key})
	if err != nil {
		return fail(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+in.Address+"/instance", bytes.NewReader(body))
	if err != nil {
		return fail(err)
	}
	req.Header.Set("Content-Type", "application/json")
	c := http.Client{Transport: &http.Transport{Proxy: nil, DisableKeepAlives: true}} // a proxy must never see the key
	res, err := c.Do(req)
	if err != nil {
		return fail(err)
	}
	defer func() { _ = res.Body.Close() }()
	var answer struct {
		Start string `json:"start"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(nil, res.Body, maxBody)).Decode(&answer); err != nil || answer.Start == "" {
		return fail(err)
	}
	return answer.Start, nil
}
