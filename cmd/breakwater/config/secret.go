package config

import (
	"fmt"
	"io"
)

// Secret is a text that must not be shown: a token, a password, a DSN. Every
// way to print it — fmt with any verb, JSON, YAML, logs — writes *** (or
// nothing when it is empty); only Reveal gives the text. It is no key for a
// map: JSON writes the keys of maps as they are.
type Secret string

// Reveal is the text itself. Hand it to who needs it, do not keep or print it.
func (s Secret) Reveal() string { return string(s) }

// String hides the text.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

// GoString hides the text from %#v.
func (s Secret) GoString() string { return `config.Secret("` + s.String() + `")` }

// Format hides the text from every verb of fmt, %x and %d too.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText hides the text from JSON, YAML, logs and flags.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText takes the text as it is.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = Secret(text)
	return nil
}
