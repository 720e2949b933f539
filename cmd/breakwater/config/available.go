package config

import "fmt"

// absent is what the configuration can say and this build cannot do, with what
// to use instead. Saying it is a problem, because a gateway that starts and
// leaves out what it was told would be worse. Whoever adds such a part removes
// its line here.
var absent = map[string]string{
	"spool.engine: jetstream":         "use disk",
	"limits.redis":                    "remove it; each gateway limits alone",
	"logs.outputs[].type: syslog":     "use stdout, and let the service manager pass it on",
	"logs.outputs[].type: file":       "use stdout, and redirect it",
	"upstreams[].type: elasticsearch": "use sentry",
	"upstreams[].type: loki":          "use sentry",
	"upstreams[].type: syslog":        "use sentry",
	"upstreams[].type: file":          "use sentry",
}

// need reports a key that wants what this build does not have.
func (c *checker) need(key, what, shown string) {
	if instead, ok := absent[what]; ok {
		c.add(key, shown+" is not available in this build", instead)
	}
}

// checkAvailable reports everything that is wanted and absent.
func (c *checker) checkAvailable() {
	c.need("spool.engine", "spool.engine: "+c.Spool.Engine, c.Spool.Engine)
	if c.Limits.Redis.URL != "" {
		c.need("limits.redis.url", "limits.redis", "redis")
	}
	for i, o := range c.Logs.Outputs {
		c.need(fmt.Sprintf("logs.outputs[%d].type", i), "logs.outputs[].type: "+o.Type, o.Type)
	}
	for i, p := range c.Projects {
		for j, u := range p.Upstreams {
			c.need(upstreamKey(i, j)+".type", "upstreams[].type: "+u.Type, u.Type)
		}
	}
}
