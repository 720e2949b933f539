package config

import "testing"

func TestSmoke(t *testing.T) {
	c, err := Parse("x.yml", nil, func(string) (string, bool) { return "", false })
	t.Logf("%+v %v", c.Redacted(), err)
}
