package config

import (
	"encoding"
	"reflect"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

var textType = reflect.TypeFor[encoding.TextUnmarshaler]()

// isScalar tells whether a value is written as one word in YAML.
func isScalar(v reflect.Value) bool {
	if v.CanAddr() && v.Addr().Type().Implements(textType) || reflect.PointerTo(v.Type()).Implements(textType) {
		return true
	}
	switch v.Kind() {
	case reflect.Struct, reflect.Map, reflect.Slice:
		return false
	default:
		return true
	}
}

// isScalarNode tells whether a node is one word or text.
func isScalarNode(n ast.Node) bool {
	switch n.Type() {
	case ast.StringType, ast.LiteralType, ast.IntegerType, ast.FloatType, ast.BoolType, ast.NullType, ast.InfinityType, ast.NanType:
		return true
	default:
		return false
	}
}

// textOf is a scalar as it is written: a key of only digits stays the text it
// is and does not become a number.
func textOf(n ast.Node) string {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value
	case *ast.LiteralNode:
		if n.Value != nil {
			return n.Value.Value
		}
		return ""
	}
	if tk := n.GetToken(); tk != nil {
		return tk.Value
	}
	return ""
}

// kindOf names what a node is, for messages.
func kindOf(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	}
	return "a single value"
}

// scalar decodes one word.
func (d *decoder) scalar(n ast.Node, key string, v reflect.Value) {
	at := nodePlace(n)
	if !isScalarNode(n) {
		d.add(at, key, "must be a single value, not "+kindOf(n), "write one word or text, in quotes when it holds { [ : or #")
		return
	}
	text := textOf(n)
	quoted := n.Type() == ast.StringType || n.Type() == ast.LiteralType
	if quoted && strings.Contains(text, "${") {
		out, used, wrong := expand(text, d.env)
		if len(used) > 0 {
			d.vars[key] = used
		}
		if wrong != nil {
			d.add(at, key, wrong.reason, wrong.fix)
			return
		}
		text = out
	}
	if len(text) > maxValueSize {
		d.add(at, key, "is longer than "+strconv.Itoa(maxValueSize)+" bytes", "shorten it")
		return
	}
	reason, fix := setScalar(v, text, quoted && len(d.vars[key]) == 0)
	if reason != "" {
		d.add(at, key, d.quote(key, v, text)+" "+reason, fix)
	}
}

// quote shows a value in a message, unless it is secret or came from the
// environment, where secrets are.
func (d *decoder) quote(key string, v reflect.Value, text string) string {
	if vars := d.vars[key]; len(vars) > 0 {
		return "value of ${" + strings.Join(vars, "}, ${") + "}"
	}
	if hidden(v.Type(), key) {
		return "value"
	}
	return quoted(text)
}

// hidden tells whether a value must not be quoted: secrets, and addresses,
// into which people write passwords.
func hidden(t reflect.Type, key string) bool {
	return t == reflect.TypeFor[Secret]() || key == "url" || strings.HasSuffix(key, ".url")
}

func quoted(text string) string {
	if len(text) > 60 {
		text = text[:57] + "…"
	}
	return strconv.Quote(text)
}

// setScalar parses a text into a value. wasText says that the file has it in
// quotes or as a word, which is no number.
func setScalar(v reflect.Value, text string, wasText bool) (reason, fix string) {
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if err := u.UnmarshalText([]byte(text)); err != nil {
			reason, fix, _ = strings.Cut(err.Error(), "; ")
			return reason, fix
		}
		return "", ""
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		b := text == "true"
		if wasText || !b && text != "false" {
			return "is neither true nor false", "write true or false, without quotes"
		}
		v.SetBool(b)
	case reflect.Int, reflect.Uint64:
		if wasText || text == "" || strings.Trim(strings.TrimPrefix(text, "-"), "0123456789") != "" || len(text) > 1 && text[0] == '0' {
			return "is not a whole number", "write decimal digits without quotes, signs or leading zeros"
		}
		if v.Kind() == reflect.Uint64 {
			n, err := strconv.ParseUint(text, 10, 64)
			if err != nil {
				return "is out of range", "write a number from 0 to 18446744073709551615"
			}
			v.SetUint(n)
			return "", ""
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return "is out of range", "write a smaller number"
		}
		v.SetInt(n)
	default:
		panic("config: no scalar decoder for " + v.Type().String())
	}
	return "", ""
}
