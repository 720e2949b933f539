package ingest

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Config is what an operator sets for the public listener. It is immutable
// once given to a Server; Server.Apply puts another one in force.
type Config struct {
	// RequestSize bounds a body on the wire, in bytes.
	RequestSize int64
	// DecompressedSize bounds it after Content-Encoding was undone, in bytes.
	DecompressedSize int64
	// CompressionRatio is how many times its wire size a body may grow to; it
	// counts only above the first MiB, so that small repetitive bodies pass.
	CompressionRatio int64
	// EventSize bounds event-like payloads, in bytes.
	EventSize int64
	// AttachmentSize bounds one attachment, and all of an envelope together, in bytes.
	AttachmentSize int64
	// AttachmentsPerEnvelope and SessionsPerEnvelope are counts.
	AttachmentsPerEnvelope int
	SessionsPerEnvelope    int
	// BeaconSize bounds a Web Vitals beacon, in bytes, also decompressed.
	BeaconSize int64
	// JSONDepth is how deep JSON may be nested.
	JSONDepth int
	// MemoryBudget is how many bytes of bodies, and of what is made of them, all
	// requests together may hold in memory; beyond it requests are answered 503. Payloads in files and the
	// first 64 KiB of a request are not counted.
	MemoryBudget int64
	// ReadTimeout is how long header and body may take to arrive, together and
	// absolute: a slow drip does not extend it.
	ReadTimeout time.Duration
	// MaxConnections is how many connections are served at a time; further ones
	// wait in the kernel's queue. Read once, by Serve.
	MaxConnections int
	// SendingPerIP is how many connections of one address may be in the middle of
	// sending a request; beyond that the one that has been at it longest is cut off.
	// TrustedProxies have no such bound.
	SendingPerIP int
	// TrustedProxies are the peers whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix
	// TunnelPath is where the SDKs' tunnel option points to.
	TunnelPath string
	// TLS serves HTTPS when both files are named. They are read again by Apply.
	TLS TLSFiles
}

// TLSFiles name a certificate chain and its key, PEM.
type TLSFiles struct{ CertFile, KeyFile string }

// Enabled tells whether both files are named.
func (t TLSFiles) Enabled() bool { return t.CertFile != "" && t.KeyFile != "" }

// DefaultConfig is safe for the open internet.
func DefaultConfig() Config {
	return Config{
		RequestSize:            40 << 20,
		DecompressedSize:       200 << 20,
		CompressionRatio:       200,
		EventSize:              1 << 20,
		AttachmentSize:         100 << 20,
		AttachmentsPerEnvelope: 30,
		SessionsPerEnvelope:    100,
		BeaconSize:             64 << 10,
		JSONDepth:              100,
		MemoryBudget:           512 << 20,
		ReadTimeout:            30 * time.Second,
		MaxConnections:         10000,
		SendingPerIP:           512,
		TunnelPath:             "/t",
	}
}

// Validate says which setting cannot be used.
func (c *Config) Validate() error {
	for _, v := range []struct {
		name  string
		value int64
	}{
		{"request size", c.RequestSize},
		{"decompressed size", c.DecompressedSize},
		{"compression ratio", c.CompressionRatio},
		{"event size", c.EventSize},
		{"attachment size", c.AttachmentSize},
		{"attachments per envelope", int64(c.AttachmentsPerEnvelope)},
		{"sessions per envelope", int64(c.SessionsPerEnvelope)},
		{"beacon size", c.BeaconSize},
		{"JSON depth", int64(c.JSONDepth)},
		{"memory budget", c.MemoryBudget},
		{"read timeout", int64(c.ReadTimeout)},
		{"maximum of connections", int64(c.MaxConnections)},
		{"connections that send per address", int64(c.SendingPerIP)},
	} {
		if v.value <= 0 {
			return fmt.Errorf("%s must be more than 0", v.name)
		}
	}
	if c.TunnelPath != "" && (!strings.HasPrefix(c.TunnelPath, "/") || strings.ContainsAny(c.TunnelPath, ":*?#% ") || strings.Trim(c.TunnelPath, "/") == "") {
		return fmt.Errorf("tunnel path %q must begin with / and hold no : * ? # %% or blank", c.TunnelPath)
	}
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		return errors.New("TLS needs both a certificate file and a key file")
	}
	return nil
}
