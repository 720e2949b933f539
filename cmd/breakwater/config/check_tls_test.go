package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
)

// certificate writes a self-signed pair and returns the files' paths.
func certificate(t *testing.T, dir, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	write(t, cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write(t, key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})))
	return cert, key
}

func TestCertificates(t *testing.T) {
	dir := t.TempDir()
	cert, key := certificate(t, dir, "a")
	_, otherKey := certificate(t, dir, "b")
	file := func(cert, key string) string {
		return "server: {tls: {cert_file: " + cert + ", key_file: " + key + "}}"
	}

	c := mustParse(t, file(cert, key), vars())
	if !c.Server.TLS.Enabled() || !strings.HasPrefix(c.ClientDSN(c.Projects[0], Key{Public: keyA}), "https://") {
		t.Error("TLS is not on")
	}
	ps := problemsOf(t, file(cert, otherKey), vars())
	if len(ps) != 1 || ps[0].Key != "server.tls.cert_file" || !strings.Contains(ps[0].Reason, "private key does not match") {
		t.Errorf("%v", ps)
	}
}
