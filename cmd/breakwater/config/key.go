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

// keyFile is the file in the data directory with the first start's public key.
const keyFile = "key"

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
	if err := makeKey(c.DataDir()); err != nil {
		return false, fmt.Errorf("making the first key: %w", err)
	}
	return true, c.readKey()
}

// readKey takes the key of the data directory; fs.ErrNotExist without one.
func (c *Config) readKey() error {
	path := filepath.Join(c.DataDir(), keyFile)
	data, err := readBounded(path, 4096)
	if errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err != nil {
		return Problems{{File: path, Reason: "cannot be read: " + plain(err), Fix: "check who may read it, or set BREAKWATER_KEY"}}
	}
	key := strings.TrimSpace(string(data))
	if reason, _ := words["publickey"](key); reason != "" {
		return Problems{{File: path, Reason: "does not hold a public key of 32 lower-case hexadecimal digits", Fix: "restore it, set BREAKWATER_KEY to the key your clients use, or remove the file to get a new key"}}
	}
	c.Projects[0].Keys = []Key{{Public: key, Name: "first"}}
	return nil
}

// makeKey writes a new key so that a crash leaves either no file or a whole
// one, and so that of two processes starting at once the first one's key stays.
func makeKey(dir string) (err error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	raw := make([]byte, 16)
	if _, err := rand.Read(raw); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, "."+keyFile+"-*") // made with mode 0600
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
	path := filepath.Join(dir, keyFile)
	if err := os.Link(tmp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		// Not every file system has links; renaming may replace another
		// process's key made in this very moment, which is the lesser evil.
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
