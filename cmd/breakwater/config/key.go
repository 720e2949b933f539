package config

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Files in the data directory: the first start's public key, and the salt of
// scrubbing by hash.
const (
	keyFile  = "key"
	saltFile = "salt"
)

// Zero is the configuration without a file, ready to serve: Default, the
// environment, and the key from the data directory, made there when it is not
// yet. dataDir is where to look unless BREAKWATER_DATA_DIR says otherwise; ""
// means DefaultDataDir.
func Zero(env Lookup, dataDir string) (*Config, error) {
	c, err := Load("", func(name string) (string, bool) {
		if v, ok := env(name); name != "BREAKWATER_DATA_DIR" || ok && v != "" {
			return v, ok
		}
		return dataDir, dataDir != ""
	})
	if err != nil {
		return nil, err
	}
	if _, err = c.EnsureKey(); err != nil {
		return nil, err
	}
	return c, nil
}

// EnsureKey gives the implicit project the key of the data directory, and
// makes one (32 hexadecimal digits, on stable storage, readable by the owner)
// when there is none; made tells which. A configuration with projects of its
// own, or with BREAKWATER_KEY, is left alone.
func (c *Config) EnsureKey() (made bool, err error) {
	if !c.implicit || len(c.Projects[0].Keys) > 0 {
		return false, nil
	}
	if err := c.readKey(); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if err := makeHex(c.DataDir(), keyFile, 16); err != nil {
		return false, fmt.Errorf("making the first key: %w", err)
	}
	return true, c.readKey()
}

// readKey takes the key of the data directory; fs.ErrNotExist without one.
func (c *Config) readKey() error {
	key, err := readHex(c.DataDir(), keyFile, 16,
		"restore it, set BREAKWATER_KEY to the key your clients use, or remove the file to get a new key")
	if err != nil {
		return err
	}
	c.Projects[0].Keys = []Key{{Public: key, Name: "first"}}
	return nil
}

// Salt is 32 bytes that are this installation's own and stay the same, made
// when they are first asked for. Scrubbing by hash is keyed with them, so that
// a hash can be compared with another of the same installation and with none
// from elsewhere.
func (c *Config) Salt() ([]byte, error) {
	const fix = "restore it, or remove the file; hashes made from then on differ from those before"
	salt, err := readHex(c.DataDir(), saltFile, 32, fix)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeHex(c.DataDir(), saltFile, 32); err != nil {
			return nil, fmt.Errorf("making the salt: %w", err)
		}
		salt, err = readHex(c.DataDir(), saltFile, 32, fix)
	}
	if err != nil {
		return nil, err
	}
	return hex.DecodeString(salt)
}

// readHex reads so many bytes in lower-case hexadecimal digits; a file with
// anything else is a Problem.
func readHex(dir, name string, bytes int, fix string) (string, error) {
	path := filepath.Join(dir, name)
	data, err := readBounded(path, 4096)
	if errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err != nil {
		return "", Problems{{File: path, Reason: "cannot be read: " + plain(err), Fix: "check who may read it; or " + fix}}
	}
	text := strings.TrimSpace(string(data))
	if len(text) != 2*bytes || strings.Trim(text, "0123456789abcdef") != "" {
		return "", Problems{{File: path, Reason: fmt.Sprintf("does not hold %d lower-case hexadecimal digits", 2*bytes), Fix: fix}}
	}
	return text, nil
}

// makeHex writes random bytes as hexadecimal digits so that a crash leaves
// either no file or a whole one, and so that of two processes starting at once
// the first one's file stays.
func makeHex(dir, name string, bytes int) (err error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	raw := make([]byte, bytes)
	if _, err := rand.Read(raw); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, "."+name+"-*") // made with mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if gone := os.Remove(tmp.Name()); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
	}()
	_, err = tmp.WriteString(hex.EncodeToString(raw) + "\n")
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	path := filepath.Join(dir, name)
	if err := os.Link(tmp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		// Not every file system has links; renaming may replace what another
		// process made in this very moment, which is the lesser evil.
		if err := os.Rename(tmp.Name(), path); err != nil {
			return err
		}
	}
	return syncDir(dir)
}

// syncDir makes the directory's new entry durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
