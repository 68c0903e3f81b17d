package gui_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"hufu/internal/gui"
	"hufu/internal/testenv"
)

// TestAWeekLater: a page that stays open for a week goes on, also after the clock was set back; an
// old start address does not begin a session.
func TestAWeekLater(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	env := testenv.New(t, testenv.Options{Now: now})
	v := visitBy(t, env.Person("alice"), gui.Options{Now: now})
	v.must("login", map[string]any{"profile": "default", "user": "alice", "password": "", "plain": false})
	for _, by := range []time.Duration{0, 24 * time.Hour, 7 * 24 * time.Hour, -24 * time.Hour, 8 * 24 * time.Hour} {
		ahead.Store(int64(by))
		v.must("mkdir", map[string]any{"side": "remote", "path": "/" + by.String()})
		if got := v.must("list", map[string]any{"side": "remote", "path": "/"})["entries"]; len(got.([]any)) == 0 {
			t.Errorf("%v later there is nothing", by)
		}
		if state := v.must("devices", map[string]any{})["devices"].([]any); len(state) != 1 {
			t.Errorf("%v later: %v", by, state)
		}
		res := v.send(http.MethodGet, "state", "application/json", nil)
		if _ = res.Body.Close(); res.StatusCode != http.StatusOK {
			t.Errorf("%v later: %s", by, res.Status)
		}
	}
}
