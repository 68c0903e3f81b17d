package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"os"
	"runtime"
	"slices"

	"github.com/youmark/pkcs8"

	"hufu"
)

// KeyType names a kind of key that hufu makes.
type KeyType string

// The key types; ECDSA on P-256 is the default.
const (
	ECDSA   KeyType = "ecdsa"
	RSA2048 KeyType = "rsa2048"
	Ed25519 KeyType = "ed25519"
)

const (
	minRSA = 2048 // bits; fewer are refused everywhere
	maxRSA = 8192 // bits; more are a way to keep a peer busy

	maxPEM = 1 << 20 // bytes of a file with keys or certificates
	maxDER = 1 << 16 // bytes of one certificate or signing request

	passphraseRounds = 600_000   // PBKDF2-HMAC-SHA256 for keys we write
	maxRounds        = 2_000_000 // and at most for keys we read
	maxScrypt        = 1 << 28   // bytes of memory that an encrypted key may request
)

// ParseKeyType reads the name of a key type; empty means the default.
func ParseKeyType(s string) (KeyType, error) {
	switch t := KeyType(s); t {
	case "":
		return ECDSA, nil
	case ECDSA, RSA2048, Ed25519:
		return t, nil
	}
	return "", &hufu.Error{
		Op: "choose a key type", Kind: hufu.KindUsage, Code: "key_type_unknown", Args: map[string]string{"type": s},
	}
}

// GenerateKey makes a new private key.
func GenerateKey(t KeyType) (crypto.Signer, error) {
	switch t {
	case ECDSA, "":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case RSA2048:
		return rsa.GenerateKey(rand.Reader, minRSA)
	case Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	_, err := ParseKeyType(string(t))
	return nil, err
}

// MarshalKey writes a key as PKCS#8 in PEM, encrypted (AES-256, PBKDF2) if
// there is a passphrase.
func MarshalKey(key crypto.Signer, passphrase []byte) ([]byte, error) {
	if len(passphrase) == 0 {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, &hufu.Error{Op: "write a private key", Kind: hufu.KindInternal, Err: err}
		}
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
	}
	der, err := pkcs8.MarshalPrivateKey(key, passphrase, &pkcs8.Opts{
		Cipher:  pkcs8.AES256CBC,
		KDFOpts: pkcs8.PBKDF2Opts{SaltSize: 16, IterationCount: passphraseRounds, HMACHash: crypto.SHA256},
	})
	if err != nil {
		return nil, &hufu.Error{Op: "encrypt a private key", Kind: hufu.KindInternal, Err: err}
	}
	return pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der}), nil
}

// ParseKey reads the private key of a PEM file: PKCS#8, encrypted or not, and
// openssl's older RSA and EC forms. The passphrase is not used if the key has
// none. Keys that no peer would accept are refused here already.
func ParseKey(data, passphrase []byte) (crypto.Signer, error) {
	block, err := keyBlock(data)
	if err != nil {
		return nil, err
	}
	der := block.Bytes
	legacy := x509.IsEncryptedPEMBlock(block) //nolint:staticcheck // openssl genrsa -des3 made such keys for decades
	if legacy || block.Type == "ENCRYPTED PRIVATE KEY" {
		if len(passphrase) == 0 {
			return nil, &hufu.Error{Op: "read a private key", Kind: hufu.KindUsage, Code: "key_passphrase_needed"}
		}
	}
	var key any
	switch {
	case legacy:
		der, err = x509.DecryptPEMBlock(block, passphrase) //nolint:staticcheck // as above
		if err == nil {
			key, err = parsePlainKey(block.Type, der)
		}
		if err != nil {
			err = wrongPassphrase(err)
		}
	case block.Type == "ENCRYPTED PRIVATE KEY":
		key, err = parseEncryptedKey(der, passphrase)
	default:
		key, err = parsePlainKey(block.Type, der)
	}
	if err != nil {
		if _, ok := errors.AsType[*hufu.Error](err); ok {
			return nil, err
		}
		return nil, keyUnreadable(err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, keyUnreadable(nil)
	}
	if what := weakKey(signer.Public()); what != "" {
		return nil, &hufu.Error{
			Op: "read a private key", Kind: hufu.KindUsage, Code: "key_too_weak", Args: map[string]string{"key": what},
		}
	}
	return signer, nil
}

// keyBlock returns the one private key of a PEM file. Other blocks, such as "EC
// PARAMETERS" or certificates, are skipped.
func keyBlock(data []byte) (*pem.Block, error) {
	if len(data) > maxPEM {
		return nil, keyUnreadable(nil)
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY":
			return block, nil
		}
	}
	return nil, keyUnreadable(nil)
}

func parsePlainKey(form string, der []byte) (any, error) {
	switch form {
	case "RSA PRIVATE KEY":
		return x509.ParsePKCS1PrivateKey(der)
	case "EC PRIVATE KEY":
		return x509.ParseECPrivateKey(der)
	}
	return x509.ParsePKCS8PrivateKey(der)
}

func keyUnreadable(err error) *hufu.Error {
	return &hufu.Error{Op: "read a private key", Kind: hufu.KindUsage, Code: "key_unreadable", Err: err}
}

func wrongPassphrase(err error) *hufu.Error {
	return &hufu.Error{Op: "decrypt a private key", Kind: hufu.KindUsage, Code: "key_passphrase_wrong", Err: err}
}

// parseEncryptedKey decrypts PKCS#8. The library trusts the file in two ways
// that we do not: it spends any amount of work that the file requests, and
// panics on a body that is no whole number of cipher blocks.
func parseEncryptedKey(der, passphrase []byte) (key any, err error) {
	if err := checkEncryption(der); err != nil {
		return nil, err
	}
	defer func() {
		if r := recover(); r != nil {
			key, err = nil, keyUnreadable(nil)
		}
	}()
	key, _, err = pkcs8.ParsePrivateKey(der, passphrase)
	if err != nil {
		return nil, wrongPassphrase(err)
	}
	return key, nil
}

// checkEncryption reads the parameters of an encrypted PKCS#8 key (RFC 8018 and
// RFC 7914) and refuses those that request absurd work.
func checkEncryption(der []byte) error {
	type algorithm struct {
		Algorithm  asn1.ObjectIdentifier
		Parameters asn1.RawValue `asn1:"optional"`
	}
	var outer struct {
		Algorithm algorithm
		Data      []byte
	}
	var scheme struct{ KDF, Cipher algorithm }
	rest, err := asn1.Unmarshal(der, &outer)
	if err != nil || len(rest) > 0 || len(outer.Data) == 0 {
		return keyUnreadable(err)
	}
	if !outer.Algorithm.Algorithm.Equal(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}) {
		return keyUnreadable(errors.New("not PBES2"))
	}
	if _, err := asn1.Unmarshal(outer.Algorithm.Parameters.FullBytes, &scheme); err != nil {
		return keyUnreadable(err)
	}
	switch kdf := scheme.KDF; {
	case kdf.Algorithm.Equal(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}):
		var p struct {
			Salt   []byte
			Rounds int
			Rest   asn1.RawValue `asn1:"optional"`
			PRF    asn1.RawValue `asn1:"optional"`
		}
		if _, err := asn1.Unmarshal(kdf.Parameters.FullBytes, &p); err != nil || p.Rounds < 1 || p.Rounds > maxRounds {
			return keyUnreadable(err)
		}
	case kdf.Algorithm.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11591, 4, 11}):
		var p struct {
			Salt    []byte
			N, R, P int
			Length  int `asn1:"optional"`
		}
		_, err := asn1.Unmarshal(kdf.Parameters.FullBytes, &p)
		if err != nil || p.N < 2 || p.R < 1 || p.P < 1 || p.P > 16 || p.R > 64 || p.N > maxScrypt/(128*p.R) {
			return keyUnreadable(err)
		}
	default:
		return keyUnreadable(errors.New("unknown key derivation"))
	}
	return nil
}

// weakKey describes a public key that is too weak, or of a kind hufu does not
// use; it is empty for a good one.
func weakKey(pub crypto.PublicKey) string {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < minRSA || n > maxRSA {
			return keyName(pub)
		}
		return ""
	case *ecdsa.PublicKey:
		if slices.Contains([]elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()}, k.Curve) {
			return ""
		}
	case ed25519.PublicKey:
		return ""
	}
	return keyName(pub)
}

// OwnersAlone refuses a file with a private key that others on this computer can
// read, with KindUsage. Windows has no such bits; there the folder's rights
// protect it.
func OwnersAlone(path string) error {
	i, err := os.Stat(path)
	switch {
	case err != nil:
		return &hufu.Error{Op: "look at key", Path: path, Kind: hufu.KindUnreadable, Err: err}
	case runtime.GOOS != "windows" && i.Mode().Perm()&0o077 != 0:
		return &hufu.Error{Op: "look at key", Path: path, Kind: hufu.KindUsage, Code: "key_file_open"}
	}
	return nil
}
