package hufu

import (
	"bytes"
	"strings"
	"testing"
)

func sampleInvitation(host string) Invitation {
	var secret [InvitationSecret]byte
	for i := range secret {
		secret[i] = byte(i * 7)
	}
	return Invitation{Host: host, Port: 9999, Fingerprint: bytes.Repeat([]byte{0xa5}, InvitationFingerprint), Secret: EncodeSecret(secret)}
}

func TestInvitationVector(t *testing.T) {
	t.Parallel()
	// made with Python's base64 and hashlib
	const want = "hufu1_files.example.org_9999_uws2ljnfuws2ljnfuws2ljnfuws2ljnf_aadq4fi4emvdcob7izgviw3cnfyho7uf_" +
		"ttp2"
	if got := sampleInvitation("files.example.org").String(); got != want {
		t.Errorf("code is %s", got)
	}
}

func TestInvitationRoundTrip(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"files.example.org", "localhost", "192.0.2.7", "::1", "2001:db8::7", "A-1.b"} {
		v := sampleInvitation(host)
		if err := v.Check(); err != nil {
			t.Fatalf("%s: %v", host, err)
		}
		code := v.String()
		if strings.Trim(code, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:_-") != "" {
			t.Errorf("%s is not one shell word", code)
		}
		got, err := ParseInvitation("\t" + code + " \r\n")
		if err != nil {
			t.Fatalf("%s: %v", code, err)
		}
		if got.String() != code || got.Host != host || got.Port != 9999 || got.Secret != v.Secret || !bytes.Equal(got.Fingerprint, v.Fingerprint) {
			t.Errorf("%s came back as %+v", code, got)
		}
	}
}

// Every single wrong, missing or doubled character is found.
func TestInvitationMistyped(t *testing.T) {
	t.Parallel()
	code := sampleInvitation("files.example.org").String()
	for i := range len(code) {
		for _, c := range []string{"", "x", "7", "_", code[i:i+1] + code[i:i+1], "é", "\x00"} {
			wrong := code[:i] + c + code[i+1:]
			if wrong == code {
				continue
			}
			if v, err := ParseInvitation(wrong); err == nil {
				t.Errorf("%q was taken for %+v", wrong, v)
			} else if CodeOf(err) != "invitation_mistyped" || strings.Contains(err.Error(), sampleInvitation("x").Secret) {
				t.Errorf("%q: %v", wrong, err)
			}
		}
	}
	for _, s := range []string{"", "hufu1", "' OR '1'='1' -- ", strings.Repeat("_", 600), strings.ToUpper(code)} {
		if _, err := ParseInvitation(s); CodeOf(err) != "invitation_mistyped" {
			t.Errorf("%q: %v", s, err)
		}
	}
}

// As mail, chats and terminals leave it.
func TestInvitationPasted(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"files.example.org", "::1"} {
		code := sampleInvitation(host).String()
		a, b := code[:40], code[40:]
		for _, pasted := range []string{
			"\ufeff" + code, a + "\r\n" + b, a + "\n    " + b + "\n", "> " + a + "\n> " + b, `"` + code + `"`, "“" + code + "”", "`" + code + "`", "<" + code + ">.",
			"hufu enroll " + code, "$ hufu enroll '" + a + "\n" + b + "'", "Invitation code: " + code, "邀请码：" + code + "。", a + "\u200b" + b, a + "\u00a0" + b, a + "=\n" + b,
		} {
			if v, err := ParseInvitation(pasted); err != nil || v.String() != code {
				t.Errorf("%q: %v, %v", pasted, v, err)
			}
			if UnfinishedInvitation(pasted) {
				t.Errorf("%q is not finished", pasted)
			}
		}
		for i := len("hufu1_"); i < len(code); i++ {
			if !UnfinishedInvitation("hufu enroll " + code[:i] + "\n") {
				t.Errorf("%q is finished", code[:i])
			}
		}
	}
	for _, s := range []string{"", "hello", "hufu1", "hufu1_a_b_c_d_e_f", "hufu1_" + strings.Repeat("\n", maxPasted)} {
		if UnfinishedInvitation(s) {
			t.Errorf("%q is the beginning of a code", s)
		}
	}
	for _, s := range []string{sampleInvitation("a").String() + strings.Repeat(" ", maxPasted), "x" + sampleInvitation("a").String()} {
		if _, err := ParseInvitation(s); CodeOf(err) != "invitation_mistyped" {
			t.Errorf("%.40q: %v", s, err)
		}
	}
}

func TestInvitationCheckRefuses(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"", "a_b", "-a", "a-", "a..b", "[::1]", "fe80::1%eth0", "::0001", "a b", "é", strings.Repeat("a", 64)} {
		if sampleInvitation(host).Check() == nil {
			t.Errorf("host %q was taken", host)
		}
	}
	for _, change := range []func(*Invitation){
		func(v *Invitation) { v.Port = 0 },
		func(v *Invitation) { v.Port = 65536 },
		func(v *Invitation) { v.Fingerprint = v.Fingerprint[:16] },
		func(v *Invitation) { v.Secret = v.Secret[:31] },
		func(v *Invitation) { v.Secret = strings.ToUpper(v.Secret) },
	} {
		v := sampleInvitation("localhost")
		change(&v)
		if v.Check() == nil {
			t.Errorf("%+v was taken", v)
		}
	}
}

func FuzzParseInvitation(f *testing.F) {
	f.Add(sampleInvitation("files.example.org").String())
	f.Add(sampleInvitation("::1").String())
	f.Add("hufu1_a_1___")
	f.Fuzz(func(t *testing.T, s string) {
		v, err := ParseInvitation(s)
		if err == nil && !strings.Contains(bareInvitation(s), v.String()) {
			t.Errorf("%q came back as %q", s, v)
		}
	})
}
