package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
)

// A salt of the environment is the same everywhere and touches no file; without
// one each data directory has its own, and keeps it.
func TestSalt(t *testing.T) {
	given := func(value string) func(string) (string, bool) {
		return func(name string) (string, bool) { return value, name == saltVariable }
	}
	one, two := filepath.Join(t.TempDir(), "salt"), filepath.Join(t.TempDir(), "salt")
	read := func(value, path string) []byte {
		t.Helper()
		salt, err := saltOf(given(value), path)
		if err != nil || len(salt) != saltSize {
			t.Fatalf("%d bytes, %v", len(salt), err)
		}
		return salt
	}
	secret := strings.Repeat("5e", 32)
	if !bytes.Equal(read(secret, one), read(secret, two)) || bytes.Equal(read(secret, one), read(secret+"0", one)) {
		t.Error("the environment's salt does not decide")
	}
	if own := read("", one); bytes.Equal(own, read("", two)) || !bytes.Equal(own, read("", one)) || bytes.Equal(own, read(secret, one)) {
		t.Error("a data directory does not keep a salt of its own")
	}
	if _, err := saltOf(given("short"), one); err == nil || !strings.Contains(err.Error(), saltVariable) {
		t.Errorf("a short one: %v", err)
	}
}
