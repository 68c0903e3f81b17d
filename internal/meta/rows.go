package meta

import (
	"database/sql"
	"time"
)

// The uses of a certificate.
const (
	UseClient = "client"
	UseServer = "server"
)

// User is a user. In all these rows the zero time means that nothing has happened yet: a user whose
// Locked is zero is not locked.
type User struct {
	Name     string
	Admin    bool
	Password string // argon2id in PHC form, "" while none is set
	Created  time.Time
	Locked   time.Time
	Removed  time.Time
}

// Device is a device that was ever locked. Locked is zero if it was unlocked since.
type Device struct {
	User   string
	Name   string
	Locked time.Time
}

// Certificate is the stored data of a certificate that was issued or accepted.
type Certificate struct {
	Serial      string // lower-case hex
	Fingerprint [32]byte
	Lineage     string   // serial of the first certificate that this one renews, or its own; "outside:" and its own if another CA has made it
	SPKI        [32]byte // SHA-256 of the public key
	Use         string
	User        string
	Device      string
	NotBefore   time.Time
	NotAfter    time.Time
	Issued      time.Time
	Revoked     time.Time
	Reason      string
	DER         []byte // read by CertificateDER and Rows only
}

// Invitation is a code that lets one device of one user in.
type Invitation struct {
	SecretHash [32]byte
	User       string
	Admin      bool
	Created    time.Time
	Expires    time.Time
	Used       time.Time
	UsedSPKI   [32]byte
	UsedSerial string
}

// Login is a token for a password that was checked on one device.
type Login struct {
	TokenHash [32]byte
	Lineage   string
	User      string
	Device    string
	Created   time.Time
	LastUsed  time.Time
}

// Attempts counts failures in a row.
type Attempts struct {
	Key      string
	Failures int
	Last     time.Time
	Until    time.Time // no attempt is judged before
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func date(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// at scans a column of milliseconds.
type at struct{ t *time.Time }

func (a at) Scan(v any) error {
	var n sql.NullInt64
	if err := n.Scan(v); err != nil {
		return err //nolint:wrapcheck // database/sql names the column
	}
	*a.t = date(n.Int64)
	return nil
}

// sum scans a column of 32 bytes, or none.
type sum struct{ b *[32]byte }

func (s sum) Scan(v any) error {
	b, ok := v.([]byte)
	if !ok || (len(b) != 0 && len(b) != len(s.b)) {
		return errSum
	}
	*s.b = [32]byte{}
	copy(s.b[:], b)
	return nil
}

// random scans the random value of a version, which is empty at first.
type random struct{ b *[16]byte }

func (r random) Scan(v any) error {
	b, ok := v.([]byte)
	if !ok || len(b) > len(r.b) {
		return errSum
	}
	*r.b = [16]byte{}
	copy(r.b[:], b)
	return nil
}
