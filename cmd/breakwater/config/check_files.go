package config

import (
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
)

// CertPool reads certificate authorities from a PEM file.
func CertPool(path string) (*x509.CertPool, error) {
	pem, err := readBounded(path, maxPEM)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("it holds no certificate in PEM form")
	}
	return pool, nil
}

// checkCA looks at a file of certificate authorities. tls says that it has a
// meaning here.
func (c *checker) checkCA(key, path string, tls bool) {
	if path == "" {
		return
	}
	if !tls {
		c.add(key+".ca_file", "has no meaning without network: tls", "remove it, or add network: tls")
		return
	}
	if _, err := CertPool(path); err != nil {
		c.add(key+".ca_file", "cannot be used: "+plain(err), "give a PEM file with the certificate of the authority; relative paths begin in the working directory")
	}
}

// checkFile looks at a file that is to be written: it may be missing, its
// folder may not, and only one may write it.
func (c *checker) checkFile(key, path string) {
	if path == "" {
		return // reported as missing
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		abs = path
	}
	c.files.take(c, key, abs, "file", "give each its own file")
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		c.add(key, "is not a regular file", "name a file, which need not exist yet")
		return
	}
	switch info, err := os.Stat(filepath.Dir(path)); {
	case err != nil:
		c.add(key, "lies in a folder that cannot be used: "+plain(err), "make the folder; relative paths begin in the working directory")
	case !info.IsDir():
		c.add(key, "lies in something that is no folder", "correct the path")
	}
}

// smallestLog is the unit in which the size of a log file is kept.
const smallestLog = mib

// checkOutput looks at one place for log lines.
func (c *checker) checkOutput(key string, o Output) {
	c.checkCA(key, o.CAFile, o.Type == "syslog" && o.Network == "tls")
	if o.Type != "file" {
		return
	}
	c.checkFile(key+".path", o.Path)
	if o.MaxSize > 0 && o.MaxSize < smallestLog {
		c.add(key+".max_size", o.MaxSize.String()+" is too small for a log file", "use 1MiB or more, or 0B to leave rotation to others")
	}
	if o.MaxSize > 0 && o.Keep == 0 {
		c.add(key+".keep", "0 would leave nothing of the log when a new file is begun", "keep at least one old file, or set max_size: 0B")
	}
}
