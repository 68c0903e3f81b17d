package identity

import (
	"crypto/tls"
	"testing"

	"hufu"
)

// HT-11: all names right, the CA's name too, and no client believes it.
func TestHT11ImpostorIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := shake(t, config(t, w.serve(t)), config(t, w.dial(t, w.alice)))
	if good.clientErr != nil {
		t.Fatal(good.clientErr)
	}
	impostor, err := Impostor(good.client)
	if err != nil {
		t.Fatal(err)
	}
	o := shake(t, impostor, config(t, w.dial(t, w.alice)))
	wantCode(t, Classify(o.clientErr, true), hufu.KindUnproven, "server_bad_signature")
	leaf := must[*Certificate](t)(ParseCert(impostor.Certificates[0].Certificate[0]))
	if leaf.Subject.String() != w.server.cert.Subject.String() || leaf.VerifyHostname("files.example") != nil || leaf.Equal(w.server.cert) {
		t.Errorf("it does not look like the server: %+v", DescribeCert(leaf))
	}
	if _, err := Impostor(tls.ConnectionState{}); hufu.KindOf(err) != hufu.KindUnproven {
		t.Errorf("of nothing: %v", err)
	}
}
