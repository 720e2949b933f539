package config

import (
	"fmt"
	"net"
	"net/url"
	"reflect"
	"strings"
)

func (c *checker) checkSpool() {
	s := c.Spool
	c.checkJetStream(s)
	switch room := Size(float64(s.MaxSize) * s.ProjectShare.Float()); {
	case s.MaxSize <= c.Limits.RequestSize:
		c.add("spool.max_size", fmt.Sprintf("%s does not hold a single request of limits.request_size (%s)", s.MaxSize, c.Limits.RequestSize), "raise it, 1GiB or more is sensible")
	case s.ProjectShare <= 0:
		c.add("spool.project_share", "must be above 0, or no project could send anything", "use 1 for no bound, 0.5 for half")
	case room <= c.Limits.RequestSize:
		c.add("spool.project_share", fmt.Sprintf("leaves a project %d bytes, less than one request of limits.request_size (%s)", room, c.Limits.RequestSize), "raise it, or raise spool.max_size")
	}
}

// Engines of spools.
const (
	EngineDisk      = "disk"
	EngineJetStream = "jetstream"
)

// monitorPort is where nats-server serves its monitoring by custom.
const monitorPort = "8222"

// Servers are the addresses of URL, one by one.
func (j JetStream) Servers() (list []string) {
	for _, s := range strings.Split(j.URL.Reveal(), ",") {
		if s = strings.TrimSpace(s); s != "" {
			list = append(list, s)
		}
	}
	return list
}

// Monitors are MonitorURLs, or what stands for them when there are none.
func (j JetStream) Monitors() []string {
	if len(j.MonitorURLs) > 0 {
		return j.MonitorURLs
	}
	var list []string
	for _, s := range j.Servers() {
		if u, err := url.Parse(s); err == nil {
			list = append(list, "http://"+net.JoinHostPort(u.Hostname(), monitorPort))
		}
	}
	return list
}

// UsesJetStream tells whether a stream has a part in the spool.
func (s Spool) UsesJetStream() bool { return s.Engine == EngineJetStream || s.JetStream.Drain }

func (c *checker) checkJetStream(s Spool) {
	const at = "spool.jetstream"
	j := s.JetStream
	switch {
	case s.Engine == EngineDisk && !j.Drain:
		c.checkUnused(at, reflect.ValueOf(j), reflect.ValueOf(defaults().Spool.JetStream), "has no meaning for engine disk",
			"remove it, or set spool.engine: jetstream; drain: true moves what the stream holds to disk")
		return
	case !s.UsesJetStream():
		return // an engine that nobody knows is reported as such
	case s.Engine == EngineJetStream && j.Drain:
		c.add(at+".drain", "has no meaning for engine jetstream: what lies in spool.dir moves into the stream by itself", "remove it")
	}
	if s.Engine == EngineJetStream && s.MinFree != defaults().Spool.MinFree {
		c.add("spool.min_free", "has no meaning for engine jetstream: the servers mind their own disks (max_file_store)", "remove it")
	}
	if len(j.Servers()) == 0 {
		c.add(at+".url", "is missing; a stream needs it", "name the servers, such as nats://nats-1:4222,nats://nats-2:4222,nats://nats-3:4222")
	}
	if j.CAFile != "" {
		if _, err := CertPool(j.CAFile); err != nil {
			c.add(at+".ca_file", "cannot be used: "+plain(err), "give a PEM file with the certificate of the authority; relative paths begin in the working directory")
		}
	}
	if j.CredentialsFile != "" {
		if _, err := readBounded(j.CredentialsFile, maxPEM); err != nil {
			c.add(at+".credentials_file", "cannot be read: "+plain(err), "check the path and who may read it; relative paths begin in the working directory")
		}
	}
	if n := len(j.Monitors()); n > 0 && n < j.Replicas && !j.AllowUnsynced && !c.bad[at+".url"] && !c.bad[at+".replicas"] {
		c.add(at+".monitor_urls", fmt.Sprintf("%d of at least %d servers can be asked whether they write before they answer; one that does not may lose what was acknowledged", n, j.Replicas),
			"name the monitoring address of every server of the cluster, such as http://nats-1:8222")
	}
}

// checkUnused reports every key whose value is not the default, where none of
// them has a meaning.
func (c *checker) checkUnused(at string, v, def reflect.Value, reason, fix string) {
	for _, name := range keysOf(v.Type()) {
		f := fieldOf(v.Type(), name)
		given, usual := v.Field(f).Interface(), def.Field(f).Interface()
		if list, ok := given.([]string); ok && len(list) == 0 || reflect.DeepEqual(given, usual) {
			continue
		}
		c.add(join(at, name), reason, fix)
	}
}

// warnings says what is allowed and puts reports at risk.
func (s Spool) warnings(warn func(key, reason, fix string)) {
	if !s.UsesJetStream() {
		return
	}
	if s.JetStream.AllowUnsynced {
		warn("spool.jetstream.allow_unsynced", "the servers need not write to disk before they answer: when they lose power together, up to their sync_interval (two minutes by default) of acknowledged reports is lost",
			"set sync_interval: always in the jetstream section of every nats-server, and remove the key")
	}
	if s.JetStream.Replicas == 1 {
		warn("spool.jetstream.replicas", "there is one copy of each report: while its server is away nothing is taken, and with its disk all of them are lost", "use 3 on three servers")
	}
}
