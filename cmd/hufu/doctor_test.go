package main

import (
	"bytes"
	"math/big"
	"strings"
	"testing"
	"time"

	"hufu/internal/cli"
	"hufu/internal/identity"
	"hufu/internal/profile"
)

// finds returns what a doctor writes.
func finds(check func(*doctor)) string {
	var out bytes.Buffer
	d := &doctor{a: &app{App: cli.New(program, []string{"--lang", "en"}, nil, &out, &out, func(string) string { return "" })}}
	check(d)
	return out.String()
}

func TestDoctorJudgesTheClock(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 10, 31, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		server time.Time
		want   string
	}{
		{now, "✓ "},
		{now.Add(time.Second), "✓ "},
		{now.Add(-59 * time.Second), "✓ "},
		{now.Add(61 * time.Second), "✓ "}, // the question took two seconds
		{now.Add(-time.Hour), "! The clock of this computer is 1 h 0 min ahead of the server's."},
		{now.Add(time.Hour + 2*time.Second), "! The clock of this computer is 1 h 0 min behind the server's."},
	} {
		if got := finds(func(d *doctor) { d.clock(c.server, now, now.Add(2*time.Second)) }); !strings.HasPrefix(got, c.want) {
			t.Errorf("the server's clock shows %v: %q", c.server, got)
		}
	}
}

func TestDoctorJudgesTheCertificate(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		life, age time.Duration
		own       bool
		want      string
	}{
		{90 * day, day, false, "✓ "},
		{90 * day, 77 * day, false, "! The certificate "}, // it should have been renewed
		{90 * day, 70 * day, false, "✓ "},
		{7 * day, day, false, "✓ "}, // it has a short life, and is young
		{7 * day, 6 * day, false, "! The certificate "},
		{7 * day, day, true, "! The certificate "}, // nobody renews it
		{90 * day, 91 * day, false, "! The certificate 1 expired on "},
	} {
		p := about{Profile: &profile.Profile{Own: c.own}, leaf: &identity.Certificate{SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: from.Add(c.life)}}
		got := finds(func(d *doctor) { d.certificate(p, from.Add(c.age)) })
		if !strings.HasPrefix(got, c.want) || c.own != strings.Contains(got, "not renewed automatically") {
			t.Errorf("%v after %v: %q", c.life, c.age, got)
		}
	}
}
