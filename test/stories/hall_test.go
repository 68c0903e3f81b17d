//go:build e2e && linux

package stories

import (
	"context"
	"fmt"
	"strings"
	"syscall"

	"hufu/test/built"
	"hufu/test/nodes"
)

// hall is the server of a story: one that is alone, or several nodes behind one name.
type hall struct {
	servers []*built.Server
	name    *nodes.Balancer // nil if it is alone
	turn    int
}

// newHall makes one with its data folder at data, on engines if they are not nil. address is where
// it listens, "" for a port of 127.0.0.1 that it keeps.
func newHall(engines *nodes.Engines, data, address string) (*hall, error) {
	if engines == nil {
		s, err := built.NewServer(bin, data)
		if err == nil && address != "" {
			s.Address = address
		}
		return &hall{servers: []*built.Server{s}}, err
	}
	name, err := nodes.NewBalancer(address)
	if err != nil {
		return nil, err
	}
	place, err := engines.Place(context.Background())
	if err != nil {
		return nil, err
	}
	all, err := nodes.Make(bin, data, engines.Config(place, engines.Database.Address, engines.Store.Address, name.Address), 3)
	return &hall{servers: all, name: name}, err
}

// start starts all.
func (h *hall) start() error {
	var to []string
	for _, s := range h.servers {
		if err := s.Start(); err != nil {
			return err
		}
		to = append(to, s.Address)
	}
	if h.name == nil {
		return nil
	}
	return h.name.Lead(to...)
}

// address is where clients find it.
func (h *hall) address() string {
	if h.name == nil {
		return h.servers[0].Address
	}
	return h.name.Address
}

// next is the server whose turn it is.
func (h *hall) next() *built.Server {
	h.turn++
	return h.servers[h.turn%len(h.servers)]
}

func (h *hall) stop() error {
	if h.name != nil {
		defer h.name.Refuse()
	}
	for _, s := range h.servers {
		if code, err := s.Stop(); err != nil || code != 0 {
			return fmt.Errorf("the server ended with %d, %w", code, err)
		}
	}
	return nil
}

func (h *hall) signal(s syscall.Signal) error {
	for _, n := range h.servers {
		if err := syscall.Kill(n.Pid(), s); err != nil {
			return err
		}
	}
	return nil
}

// end kills all.
func (h *hall) end() {
	for _, s := range h.servers {
		_ = s.Kill()
	}
	if h.name != nil {
		h.name.Close()
	}
}

// log is what all have logged.
func (h *hall) log() string {
	var b strings.Builder
	for _, s := range h.servers {
		b.WriteString(s.Log())
	}
	return b.String()
}
