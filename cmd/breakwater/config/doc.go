// Package config is what the operator says: the types of breakwater.yml, its
// defaults, its checks, its JSON Schema and its table in the README.
//
//	file ─parse─▶ syntax tree ─expand ${ENV}─▶ Config ─overrides─▶ validator tags ─▶ meaning ─▶ Config
//	                  └─────────────── position of every key ───────────────┴──────────▶ Problems
//
// Its promise: a configuration is accepted whole or refused whole, and a
// refusal names every mistake at once, each with its file, line, column, key,
// reason and fix. A secret is never part of such a message, nor of any other
// text the types can be turned into: Secret prints as ***.
//
// The types are the one source: the doc comment of a field is its description
// in the JSON Schema and in the README, its default is what Default,
// DefaultProject and DefaultUpstream say, its `restart` tag tells that a
// reload cannot change it. See the generate folder beside this file.
package config

//go:generate go run ./generate
