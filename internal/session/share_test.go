package session

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hufu/internal/frame"
)

// TestShareWidens: a connection that shares the way with others asks for little
// ahead at first, and for more only as long as answers come as fast as the
// network lets them.
func TestShareWidens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const mib, rtt = 1 << 20, 50 * time.Millisecond
		near, far := newLink(8 << 20)
		c := dial(near)
		c.stream.way = Way{RTT: rtt}
		server := byHand(t, far)
		asked, answered := 0, 0
		go func() {
			for m, _ := server.read(); m != nil; m, _ = server.read() {
				asked++
			}
		}()
		c.Allow(MaxRequests, 6*mib)
		c.AskLess(2 * mib)
		var wg sync.WaitGroup
		wg.Go(func() {
			for range 100 {
				if c.Send(&frame.Read{Version: "v"}, nil, mib, func(Answer) {}) != nil {
					return
				}
			}
		})
		expect := func(n int) {
			t.Helper()
			synctest.Wait()
			if asked-answered != n {
				t.Errorf("%d MiB are asked for ahead, not %d", asked-answered, n)
			}
		}
		answer := func(after time.Duration) {
			time.Sleep(after)
			server.write(&frame.ReadAnswer{CV: make([]byte, 32)}, false, nil)
			answered++
			synctest.Wait()
		}
		expect(2)
		answer(rtt)
		expect(3)
		answer(0) // asked for at the same time as the one before
		expect(4)
		answer(2 * rtt) // more is under way than the network takes
		answer(0)
		answer(0)
		answer(0)
		expect(4)
		for range 4 {
			answer(rtt / 4)
		}
		expect(6) // and never for more than the server allows
		_ = c.Close()
		wg.Wait()
	})
}

// TestSmallFilesAreShared: over a far link a connection asks for fewer small
// files ahead than for chunks, in bytes, and for more as fast.
func TestSmallFilesAreShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const mib, file = 1 << 20, 4 << 10
		near, far := newLink(roomy)
		c := dial(near)
		byHand(t, far)
		c.Allow(MaxRequests, 64*mib)
		c.AskLess(4 * mib)
		ahead := func(bytes int) (n int) {
			c.qmu.Lock()
			defer c.qmu.Unlock()
			asked := c.asked
			for ; !c.full(bytes); n++ {
				if c.asked += bytes; c.small(bytes) {
					c.askedSmall += bytes
				}
			}
			c.asked, c.askedSmall = asked, 0
			return n
		}
		if files, chunks := ahead(file), ahead(mib); files != 1024 || chunks != 4 {
			t.Errorf("near: %d files and %d chunks ahead", files, chunks)
		}
		c.stream.way = Way{RTT: 50 * time.Millisecond}
		if files, chunks := ahead(file), ahead(mib); files != 1024/smallShare || chunks != 4 {
			t.Errorf("far: %d files and %d chunks ahead", files, chunks)
		}
		c.asked = 2 * mib
		if files := ahead(file); files != 1024/smallShare || c.full(0) {
			t.Errorf("behind chunks: %d files ahead", files)
		}
		c.asked = 0
		for range 1024 / smallShare {
			c.qmu.Lock()
			c.widen(pending{bytes: file, sent: time.Now()})
			c.qmu.Unlock()
		}
		if files := ahead(file); files != 2*1024/smallShare {
			t.Errorf("%d files ahead, after a round trip in which all came", files)
		}
		_ = c.Close()
	})
}
