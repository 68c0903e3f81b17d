package access_test

import (
	"testing"

	"hufu"
	"hufu/internal/access"
)

func TestMay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		place  access.Place
		action access.Action
		owner  string
		want   bool
	}{
		{access.Own, access.Read, "", true},
		{access.Own, access.Change, "bob", true},
		{access.Shared, access.Read, "bob", true},
		{access.Shared, access.Create, "", true},
		{access.Shared, access.Change, "alice", true},
		{access.Shared, access.Change, "bob", false},
		{access.Shared, access.Change, "", false},
		{access.Signpost, access.Read, "", true},
		{access.Signpost, access.Create, "alice", false},
		{access.Signpost, access.Change, "alice", false},
		{0, access.Read, "alice", false}, // what nobody thought of is refused
		{access.Own + 9, access.Read, "alice", false},
		{access.Shared, 0, "alice", false},
	} {
		err := access.May("alice", c.action, c.place, c.owner)
		if (err == nil) != c.want {
			t.Errorf("May(alice, %d, %d, %q) = %v, want allowed %v", c.action, c.place, c.owner, err, c.want)
		}
		if err != nil && hufu.KindOf(err) != hufu.KindPermission {
			t.Errorf("kind of %v", err)
		}
	}
	if access.May("", access.Change, access.Shared, "") == nil {
		t.Error("nobody owns what nobody put there")
	}
}
