package main

import (
	"maps"
	"slices"

	"hufu/internal/cli"
	"hufu/internal/client"
	"hufu/internal/transfer"
)

// jsonNode is a server of an installation in the summary of a transfer.
type jsonNode struct {
	Address string `json:"address"`
	Bytes   int64  `json:"bytes"`
	err     error
	*cli.Failure
}

// usedNodes returns the servers of an installation that a transfer has used, in the order of their addresses,
// and those that it could not use. If only one server is known it returns none.
func (v *view) usedNodes(e *transfer.Engine) (all []jsonNode) {
	if v.nodes == nil {
		return nil
	}
	carried, known := e.Carried(), v.nodes()
	if len(known) < 2 && len(carried) < 2 {
		return nil
	}
	for _, at := range slices.Sorted(maps.Keys(carried)) {
		if carried[at] > 0 {
			all = append(all, jsonNode{Address: at, Bytes: carried[at]})
		}
	}
	for _, n := range known {
		i := slices.IndexFunc(all, func(j jsonNode) bool { return j.Address == n.Address })
		if n.Err == nil {
			continue
		}
		if i < 0 {
			i, all = len(all), append(all, jsonNode{Address: n.Address})
		}
		all[i].err, all[i].Failure = n.Err, v.a.Failure(n.Err)
	}
	return all
}

// tellNodes writes them as lines.
func (v *view) tellNodes(e *transfer.Engine) {
	cat := v.a.Cat
	for _, n := range v.usedNodes(e) {
		if n.Bytes > 0 {
			v.a.Hint(cat.T("hufu.node.used", "address", n.Address, "bytes", cat.Size(n.Bytes)))
		}
		if n.err != nil {
			what, _ := cat.Error(n.err)
			v.a.Hint(cat.T("hufu.node.unused", "address", n.Address, "what", what))
		}
	}
}

// others reports which of the other servers of the installation can be used.
func (d *doctor) others(nodes []client.Node) {
	for _, n := range nodes[1:] {
		if n.Err == nil {
			d.ok("node", d.a.Cat.T("hufu.doctor.node", "address", n.Address))
			continue
		}
		what, fix := d.a.Cat.Error(n.Err)
		d.warn("node", d.a.Cat.T("hufu.doctor.node.unused", "address", n.Address, "what", what), fix)
	}
}
