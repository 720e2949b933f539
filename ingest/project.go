package ingest

import (
	"strings"
	"sync/atomic"
)

// Project is what the door knows of one project. It does not change after it
// was put in a Directory; a reload makes a new Directory.
type Project struct {
	ID   uint64
	Name string
	Keys []Key
	// Aliases are further public keys or project ids accepted from a tunnelled DSN.
	Aliases []string
	Origins Origins
	Release ReleaseRule
	// Destinations are the names of the upstreams every accepted item goes to,
	// OTLP those that take spans from OTLP and Faro clients, and nothing else.
	Destinations []string
	OTLP         []string
	// ForwardIP passes the client's address on to upstreams (off when scrubbed).
	ForwardIP bool
}

// Key is one public key of a project.
type Key struct {
	Public string
	Name   string
}

// ReleaseRule is what an error gets that names no valid release or environment.
type ReleaseRule struct {
	Default     string
	Environment string
	Required    bool
}

// Directory finds projects. It is immutable; Projects swaps it whole.
type Directory struct {
	list    []*Project
	byID    map[uint64]*Project
	byKey   map[string]*Project
	aliases map[string]*Project
}

// NewDirectory indexes projects. Keys and ids are unique: the configuration
// checks that before.
func NewDirectory(list []*Project) *Directory {
	d := &Directory{list: list, byID: map[uint64]*Project{}, byKey: map[string]*Project{}, aliases: map[string]*Project{}}
	for _, p := range list {
		d.byID[p.ID] = p
		for _, k := range p.Keys {
			d.byKey[k.Public] = p
		}
		for _, a := range p.Aliases {
			d.aliases[a] = p
		}
	}
	return d
}

// List is every project.
func (d *Directory) List() []*Project { return d.list }

// ByID finds a project by its id.
func (d *Directory) ByID(id uint64) *Project { return d.byID[id] }

// ByKey finds a project and the key by a public key.
func (d *Directory) ByKey(public string) (*Project, *Key) {
	p := d.byKey[public]
	if p == nil {
		return nil, nil
	}
	for i := range p.Keys {
		if p.Keys[i].Public == public {
			return p, &p.Keys[i]
		}
	}
	return nil, nil
}

// ByAlias finds a project by a further public key or project id that its
// configuration lists.
func (d *Directory) ByAlias(keyOrID string) *Project { return d.aliases[keyOrID] }

// Projects is the directory in force; reloading swaps it.
type Projects struct{ p atomic.Pointer[Directory] }

// Load returns the directory in force; requests keep the one they began with.
func (p *Projects) Load() *Directory { return p.p.Load() }

// Store puts a new directory in force.
func (p *Projects) Store(d *Directory) { p.p.Store(d) }

// Origins is a project's allow list (protocol §1.3): "*", "example.com",
// "*.example.com", each also with a scheme or a port.
type Origins []string

// Allow tells whether a page of this origin may post. No origin (native SDKs,
// workers) is always allowed.
func (o Origins) Allow(origin string) bool {
	if origin == "" {
		return true
	}
	for _, pattern := range o {
		if matchOrigin(pattern, origin) {
			return true
		}
	}
	return false
}

func matchOrigin(pattern, origin string) bool {
	pattern = strings.TrimSuffix(pattern, "/")
	if pattern == "*" {
		return true
	}
	pattern, origin = strings.ToLower(pattern), strings.ToLower(origin)
	scheme, host, ok := strings.Cut(origin, "://")
	if !ok {
		return false
	}
	if ps, rest, hasScheme := strings.Cut(pattern, "://"); hasScheme {
		if ps != scheme && ps != "*" {
			return false
		}
		pattern = rest
	}
	if !hasPort(pattern) {
		host = stripPort(host)
	}
	if suffix, wild := strings.CutPrefix(pattern, "*."); wild {
		return host == suffix || strings.HasSuffix(host, "."+suffix)
	}
	return host == pattern
}

func hasPort(host string) bool { return stripPort(host) != host }

func stripPort(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && i > strings.LastIndexByte(host, ']') {
		return host[:i]
	}
	return host
}
