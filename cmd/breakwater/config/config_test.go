package config

import "testing"

func TestSmoke(t *testing.T) {
	c, err := Parse("x.yml", []byte("server:\n  listen: \":9\"\n  lisn: 3\nprojects:\n  - id: 1\n    name: a\n    keys: [{public: 0123456789abcdef0123456789abcdeF}]\n    upstreams: [{type: loki, dsn: x}]\n"), func(string) (string, bool) { return "", false })
	t.Log(c, "\n", err)
	c, err = Parse("x.yml", nil, func(string) (string, bool) { return "", false })
	t.Logf("%+v %v", c, err)
}
