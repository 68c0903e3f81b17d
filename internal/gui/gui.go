// Package gui is the local web page: it serves the front end and a small JSON
// interface over packages client and queue to a browser on the same computer, and
// opens that browser. The key stays in this process; the browser needs no
// certificate and never speaks to the server.
//
// Every route except /start and /instance needs a session; the router denies by default. A session
// begins with a start token, which works once and for ten minutes. Pages of other origins, and host
// names that were rebound to loopback, reach nothing. Names of files are sent as data only. Of the
// contents of files the browser gets plain texts, as data too, and images that were decoded here
// and encoded again; see preview.
package gui

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"hufu"
	"hufu/internal/autostart"
	"hufu/internal/client"
	"hufu/internal/profile"
	"hufu/internal/queue"
	"hufu/internal/text"
)

// Times of the server.
const (
	headerTime = 10 * time.Second
	idleTime   = 2 * time.Minute
	drainTime  = 2 * time.Second
)

// Options configure the page.
type Options struct {
	Dirs    profile.Dirs
	Disk    client.Disk // of this computer
	Profile string      // shown first
	Lang    string      // used until the user chooses another
	Home    string      // the folder that "this computer" begins with
	Log     *slog.Logger
	Now     func() time.Time
	// Autostart, if not nil, is the entry that starts this program when the user logs in to the desktop.
	Autostart autostart.Entry
	// Patience is how long the page waits for an answer of the server about one folder, 10 s if zero.
	Patience time.Duration
}

// Server is the page of one user. Any number of windows may show it.
type Server struct {
	o        Options
	queue    *queue.Queue
	cats     map[string]*text.Catalogue
	guard    *guard
	instance *instance
	end      context.CancelFunc // ends Serve
	static   *static
	handler  http.Handler
	done     chan struct{} // closed when the server stops; ends the event streams
	arriving chan struct{} // has room for the images that are read at a time, each of which is held in memory
	pictures chan struct{} // has room for the one image that is decoded at a time
	leaving  chan struct{} // has room for the one logout that is under way

	mu     sync.Mutex    // guards what follows
	news   chan struct{} // closed and replaced when the link changes
	turn   int           // counts the changes of the link
	link   link
	gen    int // number of the newest connect request; a slower, older one must not replace its link
	linked int // number of the connect request that made link
}

// Open reads the queue of transfers and resumes it. KindUsage with code
// queue_in_use: another hufu gui is running; see Ask.
func Open(o Options) (*Server, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Patience == 0 {
		o.Patience = browseTime
	}
	s := &Server{o: o, cats: map[string]*text.Catalogue{}, guard: newGuard(o.Now), done: make(chan struct{}), arriving: make(chan struct{}, maxArriving), pictures: make(chan struct{}, 1), leaving: make(chan struct{}, 1), news: make(chan struct{})}
	for _, l := range text.Languages() {
		s.cats[l] = text.For(l)
	}
	var err error
	if s.static, err = loadStatic(); err != nil {
		return nil, err
	}
	s.queue, err = queue.Open(queue.Options{Dirs: o.Dirs, Disk: o.Disk, Remote: s.jobRemote})
	if err != nil {
		return nil, err
	}
	s.handler = s.router()
	return s, nil
}

// Listen opens a loopback address; any other is refused.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	ip, ipErr := netip.ParseAddr(host)
	if n, portErr := strconv.Atoi(port); err != nil || portErr != nil || n < 0 || n > 65535 || ipErr != nil || !ip.IsLoopback() || ip.Zone() != "" {
		return nil, &hufu.Error{Op: "listen", Path: address, Kind: hufu.KindUsage, Code: "gui_not_loopback", Args: map[string]string{"address": address}}
	}
	lc := net.ListenConfig{}
	ln, err := lc.Listen(ctx, "tcp", address)
	if err == nil {
		return ln, nil
	}
	code := "gui_port_taken"
	if errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT) {
		code = "gui_cannot_listen"
	}
	return nil, &hufu.Error{Op: "listen", Path: address, Kind: hufu.KindUsage, Code: code, Args: map[string]string{"address": address}, Err: err}
}

// Serve answers on ln until ctx ends, or Stop is called. ready, if not nil, is called with an
// address that works once.
func (s *Server) Serve(ctx context.Context, ln net.Listener, ready func(start string)) (err error) {
	ctx, s.end = context.WithCancel(ctx)
	defer s.end()
	s.guard.bind(ln.Addr().String())
	if s.instance, err = announce(s.o.Dirs, ln.Addr().String()); err != nil {
		return err
	}
	defer s.instance.forget()
	srv := &http.Server{
		Handler: s, ReadHeaderTimeout: headerTime, IdleTimeout: idleTime, MaxHeaderBytes: 32 << 10,
		ErrorLog: slog.NewLogLogger(s.o.Log.Handler(), slog.LevelDebug),
	}
	drained := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(drained)
		close(s.done)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
		defer cancel()
		if srv.Shutdown(ctx) != nil {
			_ = srv.Close()
		}
	})
	defer func() {
		if !stop() {
			<-drained
		}
	}()
	if ready != nil {
		ready(s.Start())
	}
	if err := srv.Serve(ln); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return &hufu.Error{Op: "serve page", Kind: hufu.KindInternal, Err: err}
	}
	return nil
}

// Start returns an address that opens the page once.
func (s *Server) Start() string { return s.guard.origin() + "/start?token=" + s.guard.newToken() }

// Close stops the transfers; they resume when Open is called again.
func (s *Server) Close() error {
	err := s.queue.Close()
	s.mu.Lock()
	s.gen++
	old := s.link
	s.link = link{}
	s.mu.Unlock()
	return errors.Join(err, old.close())
}

// stir notifies the event streams that the link has changed; the mutex is held.
func (s *Server) stir() {
	s.turn++
	close(s.news)
	s.news = make(chan struct{})
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }
