package ca

import (
	"cmp"
	"context"
	"crypto/tls"
	"os"
	"path/filepath"
	"time"

	"hufu"
	"hufu/internal/identity"
	"hufu/internal/meta"
)

// fileState distinguishes versions of a file.
type fileState struct {
	size int64
	mod  time.Time
}

// ServerCertificate returns the server's certificate, followed by the issuing CA. It is called at
// each handshake: files that were replaced are read again. A certificate of ours is renewed at
// two thirds of its life, and replaced if it is not valid yet, because the clock was ahead when
// it was made; the operator's own is used as it is. An error is logged, and the current
// certificate stays in use as long as it is valid.
func (a *Authority) ServerCertificate() (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	if age := now.Sub(a.looked); a.server == nil || age < 0 || age >= lookEvery {
		a.looked = now
		if err := a.reloadIssuer(); err != nil {
			a.log.Warn("issuing ca was not read", "error", err)
		}
		if end := a.Issuing().NotAfter; end.Sub(now) < IssuingWarning && (now.Sub(a.told) >= warnEvery || now.Before(a.told)) {
			a.told = now
			a.log.Warn("issuing ca ends soon, renew it with hufud ca renew", "not_after", end)
		}
		if err := a.reloadServer(); err != nil {
			if a.server == nil {
				return nil, err
			}
			a.log.Warn("server certificate was not read", "error", err)
		}
	}
	leaf := a.server.Leaf
	due := leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) * 2 / 3)
	if !a.ours {
		a.warnOfEnd(leaf, now)
	}
	early := now.Before(leaf.NotBefore)
	if a.ours && (early || now.After(due)) && (now.Sub(a.failed) >= retryAfter || now.Before(a.failed)) {
		if early {
			a.log.Warn("server certificate is not valid yet, was the clock ahead? making a new one", "not_before", leaf.NotBefore)
		}
		if err := a.renewServer(); err != nil {
			a.failed = now
			a.log.Warn("server certificate was not renewed", "error", err)
		} else {
			leaf = a.server.Leaf
			a.log.Info("server certificate renewed", "serial", identity.Serial(leaf), "not_after", leaf.NotAfter)
		}
	}
	if now.After(leaf.NotAfter) {
		return nil, &hufu.Error{Op: "present server certificate", Path: filepath.Join(a.dir, serverCert), Kind: hufu.KindUsage, Code: "server_cert_expired", Args: map[string]string{"when": stamp(leaf.NotAfter)}}
	}
	return a.server, nil
}

// reloadIssuer reads the issuing CA again if it was renewed. Called with mu held.
func (a *Authority) reloadIssuer() error {
	fi, err := os.Stat(filepath.Join(a.dir, issueCert))
	if err != nil {
		return nil //nolint:nilerr // the current one stays in use; the next start reports what is missing
	}
	seen := fileState{fi.Size(), fi.ModTime()}
	if seen == a.signer {
		return nil
	}
	if a.signer != (fileState{}) {
		if err := a.readIssuer(); err != nil {
			return err
		}
		a.log.Info("issuing ca read again", "name", a.Issuing().Subject.CommonName, "not_after", a.Issuing().NotAfter)
	}
	a.signer = seen
	return nil
}

// reloadServer reads the files if they are not those read last. Called with mu
// held.
func (a *Authority) reloadServer() error {
	var seen [2]fileState
	for i, name := range []string{serverCert, serverKey} {
		fi, err := os.Stat(filepath.Join(a.dir, name))
		if err != nil {
			_, err = a.read(name) // says it better
			if err == nil {
				continue // replaced at this very moment
			}
			return err
		}
		seen[i] = fileState{fi.Size(), fi.ModTime()}
	}
	if a.server != nil && seen == a.seen {
		return nil
	}
	chain, err := a.readCerts(serverCert)
	if err != nil {
		return err
	}
	key, err := a.readKey(serverKey)
	if err != nil {
		return err
	}
	pair, err := identity.Pair(key, chain...)
	if err != nil {
		return trustBroken(a.dir, serverKey, err)
	}
	a.server, a.ours, a.seen = pair, a.issued(pair.Leaf), seen
	return nil
}

// renewServer issues the next certificate for the same names and the same key:
// one file changes, in one step, so no crash leaves two that do not belong
// together. Called with mu held.
func (a *Authority) renewServer() error {
	key, err := a.readKey(serverKey)
	if err != nil {
		return err
	}
	old := a.server.Leaf
	leaf, err := a.sign(serverTemplate(old.Subject.CommonName, old.DNSNames, old.IPAddresses), key.Public(), ServerLife)
	if err != nil {
		return err
	}
	issuing := cmp.Or(a.issuer.Load().of(leaf), a.Issuing())
	pair, err := identity.Pair(key, leaf, issuing)
	if err != nil {
		return err
	}
	row, err := a.row(leaf, meta.UseServer, "", "")
	if err != nil {
		return err
	}
	row.Lineage = identity.Serial(old)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := a.db.AddCertificate(ctx, row); err != nil {
		return err
	}
	if err := replaceFile(filepath.Join(a.dir, serverCert), identity.MarshalCerts(leaf, issuing), 0o644); err != nil {
		return err
	}
	a.server, a.looked = pair, time.Time{} // the next look finds the new file and reads it
	return nil
}
