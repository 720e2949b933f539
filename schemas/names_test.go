package schemas

import (
	"strings"
	"testing"
)

func TestValidNames(t *testing.T) {
	long := strings.Repeat("x", 64)
	tests := []struct {
		name                       string
		release, environment, dist bool
	}{
		{"1.2.3", true, true, true},
		{"shop@1.4.2+build.7", true, true, false},
		{"com.example.app@1.0+45", true, true, false},
		{"two words", true, true, false},
		{"ünïcode ✓", true, true, false},
		{"", false, false, false},
		{"   ", false, false, false},
		{"\u00a0", false, false, false},
		{".", false, false, true},
		{"..", false, false, true},
		{"...", true, true, true},
		{" . ", false, false, false},
		{"latest", false, true, true},
		{"LaTesT", false, true, true},
		{"latest1", true, true, true},
		{"none", true, false, true},
		{"NONE", true, false, true},
		{"a/b", false, false, false},
		{`a\b`, false, false, false},
		{"a\nb", false, false, false},
		{"a\rb", false, false, false},
		{"a\tb", false, false, false},
		{"a\fb", false, false, false},
		{"a\vb", false, false, false},
		{"1.0\n", false, false, false},
		{" 1.0 ", true, true, false},
		{"production", true, true, true},
		{"a_b-c.D9", true, true, true},
		{long, true, true, true},
		{long + "x", true, false, false},
		{strings.Repeat("x", 200), true, false, false},
		{strings.Repeat("x", 201), false, false, false},
		{strings.Repeat("ü", 100), true, false, false}, // 200 bytes
		{strings.Repeat("ü", 101), false, false, false},
		{strings.Repeat("ü", 32), true, true, false},
	}
	for _, tt := range tests {
		if got := ValidRelease(tt.name); got != tt.release {
			t.Errorf("release %q: %v", tt.name, got)
		}
		if got := ValidEnvironment(tt.name); got != tt.environment {
			t.Errorf("environment %q: %v", tt.name, got)
		}
		if got := ValidDist(tt.name); got != tt.dist {
			t.Errorf("dist %q: %v", tt.name, got)
		}
	}
}
