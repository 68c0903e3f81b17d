package server

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"time"

	"hufu"
	"hufu/internal/ca"
	"hufu/internal/frame"
	"hufu/internal/session"
)

// enrollRequests is the number of requests that one enrollment connection may
// send.
const enrollRequests = 4

// enroller serves the enrollment protocol: no accounts, no files, no login.
type enroller struct {
	s       *Server
	session *session.Server
	state   tls.ConnectionState
	remote  string
	origin  string // of remote, for the bound of its lines in the log
	left    int
}

func (s *Server) enroll(ctx context.Context, c *tls.Conn, stream *session.Stream, remote string) {
	_ = stream.SetReadDeadline(time.Now().Add(enrollTime))
	e := &enroller{
		s: s, session: session.NewServer(c, stream, s.codec), state: c.ConnectionState(), remote: remote, left: enrollRequests,
		origin: originOf(stream.RemoteAddr()).String(),
	}
	e.session.Only(frame.TypeEnroll, frame.TypeRenew, frame.TypeWhy)
	place := s.enrolling.enter(stream.RemoteAddr(), func() { _ = stream.Conn.Close() }, func() bool { return e.session.Unanswered() > 0 })
	defer place.leave()
	if err := e.session.Serve(ctx, e); err != nil {
		s.o.Log.bounded(e.origin, slog.LevelInfo, "gone", "remote", remote, "over", "enroll", "why", hufu.Printable(err.Error()))
	}
}

func (e *enroller) Idle(context.Context) error { return nil }

// Handle knows three requests; every other one ends the connection.
func (e *enroller) Handle(ctx context.Context, r *session.Request) error {
	defer e.session.Release(r)
	if e.left--; e.left < 0 {
		return &hufu.Error{Op: "enroll", Kind: hufu.KindProtocol, Code: "too_many_requests"}
	}
	switch m := r.Message.(type) {
	case *frame.Enroll:
		host, _, _ := net.SplitHostPort(e.remote)
		got, err := e.s.o.Authority.Enroll(ctx, ca.EnrollRequest{
			Secret: m.Secret, Password: m.Password, Device: m.Device, CSR: m.CSR, Remote: host,
		})
		if err != nil {
			if hufu.CodeOf(err) != "invitation_wait" { // the attempts that led to it are in the log
				e.s.o.Log.bounded(e.origin, slog.LevelWarn, "refused", "remote", e.remote, "op", "enroll", "why", hufu.CodeOf(err))
			}
			return e.session.Fail(err)
		}
		e.s.o.Log.Info("enrolled", "remote", e.remote, "user", got.User, "device", got.Device)
		return e.session.Answer(&frame.EnrollAnswer{User: got.User, Device: got.Device, Chain: got.Chain}, false, nil)
	case *frame.Renew:
		peer, err := e.s.tls.EnrollPeer(e.state)
		if err != nil && peer.Serial == "" { // with a serial the certificate is one of ours that is no longer valid: Authority.Renew decides
			return e.session.Fail(err)
		}
		chain, err := e.s.o.Authority.Renew(ctx, peer.Serial, peer.Fingerprint, m.CSR)
		if err != nil {
			e.s.o.Log.bounded(e.origin, slog.LevelWarn, "refused", "remote", e.remote, "op", "renew", "why", hufu.CodeOf(err))
			return e.session.Fail(err)
		}
		e.s.o.Log.Info("renewed", "remote", e.remote, "user", peer.User, "device", peer.Device)
		return e.session.Answer(&frame.RenewAnswer{Chain: chain}, false, nil)
	case *frame.Why:
		peer, presentedErr := e.s.tls.EnrollPeer(e.state)
		a := &frame.WhyAnswer{Time: e.s.o.Now().UnixNano()}
		if why := e.s.o.Authority.Why(ctx, peer, presentedErr); why != nil {
			a.Error = frame.WireError(why)
		}
		return e.session.Answer(a, false, nil)
	}
	return &hufu.Error{Op: "enroll " + r.Message.Type().String(), Kind: hufu.KindProtocol, Code: "request_unknown"}
}
