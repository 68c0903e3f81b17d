//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"hufu"
	"hufu/internal/client"
	"hufu/internal/profile"
)

// perUser is how many connections a user of idle has: a device may have
// server.MaxOfOneDevice.
const perUser = 500

const idlePassword = "a password for measuring"

// idle measures the memory of a hufu server with many clients that are connected and
// logged in and ask for nothing, and how much more it takes when some of them get to
// work at once. The result is that of the connecting, with the most memory that the
// server had; words say the rest.
func (s *settings) idle(ctx context.Context, w workload, groups string) (r result, words string, err error) {
	p, err := s.open(ctx, w, groups)
	if err != nil {
		return r, "", err
	}
	defer p.close()
	server, err := p.start(ctx, "hufud")
	if err != nil {
		return r, "", err
	}
	p.servers["hufud"] = server
	empty, _ := server.side.memory()
	remotes, err := p.connect(ctx, s.clients, &r)
	defer func() {
		for _, remote := range remotes {
			err = errors.Join(err, remote.Close())
		}
	}()
	if err != nil {
		return r, "", err
	}
	idle := settled(server.side, empty)
	server.side.forget()
	watch := newWatch(server.side)
	active := remotes[:min(s.active, len(remotes))]
	err = work(ctx, active)
	r.serverMemory = watch.end()[0]
	mib := func(n int64) float64 { return float64(n) / (1 << 20) }
	return r, fmt.Sprintf("%s: the server holds %.1f MiB without and %.1f MiB with %d connections: %.1f KiB each; %d of them at work at once, 20 links made and 20 listings each: %.1f MiB more at most",
		w.name, mib(empty), mib(idle), s.clients, float64(idle-empty)/1024/float64(s.clients), len(active), mib(max(0, r.serverMemory-idle))), err
}

// connect enrolls as many users as are needed and logs n connections in, which r counts.
func (p *place) connect(ctx context.Context, n int, r *result) (remotes []*client.Remote, err error) {
	var profiles []*profile.Profile
	for k := 0; k*perUser < n; k++ {
		name := "user" + strconv.Itoa(k)
		invite := exec.CommandContext(ctx, "hufud", "--lang", "en", "--data", p.hufud(), "invite", "--address", p.enrollArgs[1], name)
		invite.Env, invite.Dir = p.env, p.work
		code, err := invite.Output()
		if err != nil {
			return nil, fmt.Errorf("invite %s: %w", name, err)
		}
		inv, err := hufu.ParseInvitation(strings.TrimSpace(string(code)))
		if err != nil {
			return nil, err
		}
		dirs := profile.Dirs{Config: filepath.Join(p.work, name, "config"), State: filepath.Join(p.work, name, "state")}
		known, err := profile.Enroll(ctx, dirs, "bench", inv, idlePassword)
		if err != nil {
			return nil, err
		}
		profiles = append(profiles, known)
	}
	side := p.servers["hufud"].side
	begin, before := time.Now(), side.cpu()
	r.load = load()
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for i := range n {
		g.Go(func() error {
			remote, err := client.New(profiles[i/perUser], client.Options{NoRenew: true})
			if err != nil {
				return err
			}
			mu.Lock()
			remotes = append(remotes, remote)
			mu.Unlock()
			return remote.LoggedIn(ctx)
		})
	}
	err = g.Wait()
	r.items, r.wall, r.serverCPU = n, time.Since(begin), side.cpu()-before
	return remotes, err
}

// work lets each of remotes make a folder of some links and list it, several times, all at once.
func work(ctx context.Context, remotes []*client.Remote) error {
	var g errgroup.Group
	for i, r := range remotes {
		g.Go(func() error {
			folder, err := hufu.ParsePath("folder" + strconv.Itoa(i))
			if err != nil {
				return err
			}
			if _, err := r.Mkdir(ctx, folder, 0o755, false); err != nil {
				return err
			}
			for k := range 20 {
				p, err := folder.Join("link" + strconv.Itoa(k))
				if err != nil {
					return err
				}
				if err := r.Link(ctx, p, "target", time.Now(), hufu.Condition{Kind: hufu.IfAbsent}); err != nil {
					return err
				}
				if err := r.List(ctx, folder, func(hufu.Entry) error { return nil }); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// settled returns the memory of the side when it no longer shrinks, or is not more
// than least: what the connecting took is given back after a while.
func settled(s *side, least int64) int64 {
	last := int64(1) << 62
	for range 30 {
		time.Sleep(2 * time.Second)
		now, _ := s.memory()
		if now < least || last-now < 1<<20 && now <= last {
			return now
		}
		last = now
	}
	return last
}
