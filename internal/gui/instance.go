package gui

import (
	"bytes"
	"cmp"
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
	"hufu/internal/queue"
)

// askTime is how long a running page may take to answer another program.
const askTime = 3 * time.Second

// stopTime is how long a running page may take to end: its transfers stop in the meantime.
const stopTime = 15 * time.Second

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

// again answers another "hufu gui" of the same user: with a new start address, or, if it asks for
// that, by stopping.
func (s *Server) again(w http.ResponseWriter, r *http.Request) error {
	req, err := read[struct {
		Key  string `json:"key"`
		Stop bool   `json:"stop"`
	}](r)
	if err != nil {
		return err
	}
	if s.instance == nil || subtle.ConstantTimeCompare([]byte(req.Key), []byte(s.instance.Key)) != 1 {
		s.fail(w, r, http.StatusUnauthorized, &hufu.Error{Op: "guard", Kind: hufu.KindPermission, Code: "gui_no_session"})
		return nil
	}
	if req.Stop {
		defer s.end()
		return s.ok(w, map[string]bool{"stops": true})
	}
	return s.ok(w, map[string]string{"start": s.Start()})
}

// Ask gets a start address from the page that is already running.
func Ask(ctx context.Context, dirs profile.Dirs) (string, error) {
	a, err := ask(ctx, dirs, false)
	return a.Start, err
}

// Stop ends the page that is running, and returns when it has ended. KindNotFound with the code
// gui_not_running: there is none.
func Stop(ctx context.Context, dirs profile.Dirs) error {
	running, err := queue.InUse(dirs)
	if err == nil && !running {
		return &hufu.Error{Op: "stop page", Kind: hufu.KindNotFound, Code: "gui_not_running"}
	}
	// A page that starts has not said yet where it listens, and one that ends says it no more: both
	// hold the queue. So it is asked until it has answered, while it holds the queue.
	asked := stuck(nil)
	for began := time.Now(); err == nil; {
		if asked != nil {
			_, asked = ask(ctx, dirs, true)
		}
		if running, err = queue.InUse(dirs); err != nil || !running {
			break
		}
		if time.Since(began) > stopTime {
			return cmp.Or(asked, stuck(nil))
		}
		select {
		case <-ctx.Done():
			return &hufu.Error{Op: "stop page", Kind: hufu.KindCanceled, Err: context.Cause(ctx)}
		case <-time.After(stopTime / 300):
		}
	}
	return err
}

// stuck is the error of a page that runs and does not answer as it should.
func stuck(err error) error {
	return &hufu.Error{Op: "ask running page", Kind: hufu.KindUsage, Code: "gui_stuck", Err: err}
}

func readInstance(dirs profile.Dirs) (in instance, err error) {
	data, err := os.ReadFile(instanceFile(dirs))
	if err == nil {
		err = json.Unmarshal(data, &in)
	}
	return in, err
}

// answer is what the running page answers.
type answer struct {
	Start string `json:"start"`
	Stops bool   `json:"stops"`
}

// ask asks the page that is running for a start address, or with stop to end.
func ask(ctx context.Context, dirs profile.Dirs, stop bool) (a answer, err error) {
	fail := func(err error) (answer, error) { return answer{}, stuck(err) }
	in, err := readInstance(dirs)
	if err != nil {
		return fail(err)
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	question := map[string]any{"key": in.Key}
	if stop {
		question["stop"] = true
	}
	body, err := json.Marshal(question)
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
	if err := json.NewDecoder(http.MaxBytesReader(nil, res.Body, maxBody)).Decode(&a); err != nil || stop != a.Stops || stop == (a.Start != "") {
		return fail(err)
	}
	return a, nil
}
