package main

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"breakwater/cmd/breakwater/config"
)

const saltSize = 32

// saltVariable names the environment variable that gives several gateways the
// same salt, so that the same value hashes alike on all of them.
const saltVariable = "BREAKWATER_SALT"

// saltOf is the salt of the environment, else that of the data directory.
func saltOf(env config.Lookup, path string) ([]byte, error) {
	text, ok := env(saltVariable)
	if !ok || text == "" {
		return installationSalt(path)
	}
	if len(text) < saltSize {
		return nil, fmt.Errorf("%s has fewer than %d characters; make one with: openssl rand -hex 32", saltVariable, saltSize)
	}
	sum := sha256.Sum256([]byte(text))
	return sum[:], nil
}

// installationSalt is what hashes of personal data are keyed with: made at the
// first start, kept in the data directory, so that the same value hashes alike
// after a restart and unlike on any other installation.
func installationSalt(path string) ([]byte, error) {
	salt, err := os.ReadFile(path)
	if err == nil && len(salt) == saltSize {
		return salt, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the salt: %w", err)
	}
	salt = make([]byte, saltSize)
	_, _ = rand.Read(salt) // never fails on the systems Go supports
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("making the data directory: %w", err)
	}
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("writing the salt: %w", err)
	}
	_, err = f.Write(salt)
	if err := errors.Join(err, f.Sync(), f.Close(), os.Rename(path+".new", path)); err != nil {
		return nil, fmt.Errorf("writing the salt: %w", err)
	}
	return salt, nil
}
