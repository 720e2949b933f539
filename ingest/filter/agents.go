package filter

import (
	"strings"

	lru "github.com/hashicorp/golang-lru/v2"
)

// agent is what a user agent says.
type agent struct {
	browser browser
	crawler bool
}

// agentCache remembers what user agents say: reading one costs as much as all
// other filters together, and real traffic repeats a few hundred of them.
type agentCache struct{ known *lru.Cache[string, agent] }

// maxAgents bounds the user agents remembered, of at most maxAgent bytes each:
// 4 MiB at the very worst.
const maxAgents = 4096

// knownAgents are shared by all projects: what a user agent says depends on nothing
// that is configured.
var knownAgents = newAgentCache()

func newAgentCache() *agentCache {
	known, err := lru.New[string, agent](maxAgents)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return &agentCache{known}
}

func (c *agentCache) read(ua string) agent {
	if ua == "" {
		return agent{}
	}
	if len(ua) > maxAgent {
		ua = ua[:maxAgent]
	}
	if a, ok := c.known.Get(ua); ok {
		return a
	}
	a := agent{parseBrowser(ua), isCrawler(ua)}
	c.known.Add(strings.Clone(ua), a)
	return a
}
