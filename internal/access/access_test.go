package access_test

import (
	"testing"

	"hufu"
	"hufu/internal/access"
)

func TestMay(t *testing.T) {
	t.Parallel()
	const none = ""
	for _, c := range []struct {
		path   string
		action access.Action
		owner  string
		code   string // of the refusal, none if allowed
	}{
		{"/x", access.Read, none, none},
		{"/x/y", access.Create, none, none},
		{"/x", access.Link, none, none},
		{"/x", access.Change, "bob", none},
		{"/x", 0, "alice", "not_allowed_here"},
		{"/x", access.Change + 1, "alice", "not_allowed_here"}, // what nobody thought of is refused
		{"/@shared/common/x", access.Read, "bob", none},
		{"/@shared/common/x", access.Create, none, none},
		{"/@shared/common/x/y", access.Create, "bob", none},
		{"/@shared/common/x", access.Change, "alice", none},
		{"/@shared/common/x", access.Change, "bob", "not_yours"},
		{"/@shared/common/x", access.Change, none, "not_yours"},
		{"/@shared/common/x", access.Change, "alice2", "not_yours"},
		{"/@shared/common/x/y", access.Link, "alice", none},
		{"/@shared/common/x/y", access.Link, "bob", "link_needs_own_folder"},
		{"/@shared/common/y", access.Link, none, "link_needs_own_folder"},
		{"/@shared/common/x", 0, "alice", "not_yours"},
		{"/", access.Read, none, none},
		{"/@shared", access.Read, none, none},
		{"/@shared/common", access.Read, none, none},
		{"/", access.Change, "alice", "not_allowed_here"},
		{"/", access.Create, "alice", "not_allowed_here"},
		{"/@shared", access.Create, "alice", "not_allowed_here"},
		{"/@shared/common", access.Create, "alice", "not_allowed_here"},
		{"/@shared/common", access.Change, "alice", "not_allowed_here"},
		{"/@shared2/x/y", access.Read, none, "not_allowed_here"},
		{"/@", access.Read, none, "not_allowed_here"},
		{"/@x/y", access.Change, "alice", "not_allowed_here"},
		{"/x/@shared/common/y", access.Change, "bob", none},
	} {
		p, err := hufu.ParsePath(c.path)
		if err != nil {
			t.Fatal(err)
		}
		err = access.May(access.Subject{User: "alice", Device: "pc"}, c.action, p, c.owner)
		refused := hufu.KindOf(err) == hufu.KindPermission && hufu.CodeOf(err) == c.code
		if c.code == none && err != nil || c.code != none && !refused {
			t.Errorf("May(alice, %d, %s, %q) = %v, want %q", c.action, c.path, c.owner, err, c.code)
		}
		if access.May(access.Subject{}, c.action, p, "") == nil && access.ByOwner(p) && c.action >= access.Link {
			t.Errorf("%s: nobody owns what nobody put there", c.path)
		}
	}
}
