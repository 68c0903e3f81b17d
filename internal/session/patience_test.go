package session

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"hufu"
	"hufu/internal/frame"
)

// TestHT42EndlessWork: a server that only says that it is working is not waited for
// without end, for as long as the request may need; one that sends something else
// now and then is.
func TestHT42EndlessWork(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		ask      frame.Message
		patience time.Duration
		notice   frame.Message
	}{
		{&frame.Stat{}, Patience, &frame.Working{}},
		{&frame.List{}, Patience, &frame.Changed{}},
		{&frame.Hello{Version: 1, Features: []string{"core"}}, time.Minute, &frame.Working{}},
		{&frame.Digest{}, LongPatience, &frame.Working{}},
		{&frame.Remove{Path: frame.Path("a")}, LongPatience, &frame.Working{}},
	} {
		synctest.Test(t, func(t *testing.T) {
			near, far := newLink(roomy)
			began := time.Now()
			client := dial(near)
			var answer Answer
			ended := false
			if err := errors.Join(client.Send(c.ask, nil, 0, func(a Answer) { answer, ended = a, !a.More }), client.Flush()); err != nil {
				t.Fatal(err)
			}
			server := byHand(t, far)
			server.read()
			for range 2 { // frames that come at long last are waited for
				if c.ask.Type() != frame.TypeList {
					break
				}
				for range (Patience - time.Minute) / WorkingEvery {
					server.write(c.notice, false, nil)
					time.Sleep(WorkingEvery)
				}
				server.write(&frame.ListAnswer{}, true, nil)
				began = time.Now()
			}
			synctest.Wait()
			for !ended && time.Since(began) < 2*c.patience {
				server.write(c.notice, false, nil)
				time.Sleep(WorkingEvery)
				synctest.Wait()
			}
			if took := time.Since(began); took < c.patience || took > c.patience+time.Minute || hufu.CodeOf(answer.Err) != "answer_overdue" || !answer.Lost {
				t.Errorf("%s: after %v %+v", c.ask.Type(), took, answer)
			}
			<-client.Done()
			_ = far.Close()
		})
	}
}
