package ingest_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"

	"breakwater/ingest"
)

// writeCertificate stores a certificate and its key as files.
func writeCertificate(t *testing.T, c tls.Certificate) ingest.TLSFiles {
	t.Helper()
	dir := t.TempDir()
	f := ingest.TLSFiles{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		f.CertFile: {Type: "CERTIFICATE", Bytes: c.Certificate[0]},
		f.KeyFile:  {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return f
}
