package cli

import "testing"

func TestMeant(t *testing.T) {
	t.Parallel()
	verbs := []string{"cat", "df", "du", "enroll", "explain", "find", "get", "ls", "mkdir", "mv", "profile", "put", "rm", "stat", "touch", "tree", "verify", "whoami"}
	for word, want := range map[string]string{
		"lss": "ls", "sl": "ls", "gte": "get", "statt": "stat", "verfiy": "verify", "whoam": "whoami", "mkdri": "mkdir", "PUT": "put", "enrol": "enroll",
		"prof": "profile", "toch": "touch", "explian": "explain",
		"frobnicate": "", "x": "", "download": "", "": "", "cp": "", "head": "",
	} {
		if got := Meant(word, verbs); got != want {
			t.Errorf("%q was meant to be %q, not %q", word, want, got)
		}
	}
	if got := Meant("--exlude", []string{"--include", "--exclude"}); got != "--exclude" {
		t.Errorf("%q", got)
	}
}
