package main

import (
	"encoding"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"

	"github.com/invopop/jsonschema"

	"breakwater/cmd/breakwater/config"
)

// makeSchema makes the JSON Schema: the shape and the descriptions from the
// types and their doc comments, the bounds from their validate tags, the
// defaults from the code that sets them.
func makeSchema(root string) (*jsonschema.Schema, error) {
	r := &jsonschema.Reflector{Anonymous: true, DoNotReference: true, FieldNameTag: "yaml", RequiredFromJSONSchemaTags: true}
	// The library wants a path relative to the working directory, from which
	// it makes the package's name.
	wd, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	if err := os.Chdir(root); err != nil {
		return nil, err
	}
	err = r.AddGoComments("breakwater", "./"+sourceDir)
	if back := os.Chdir(wd); err == nil {
		err = back
	}
	if err != nil {
		return nil, fmt.Errorf("reading doc comments: %w", err)
	}
	s := r.Reflect(&config.Config{})
	s.Title = "Breakwater configuration"
	s.Description = "The file breakwater.yml. Texts may hold ${NAME} and ${NAME:-default} for environment variables."
	if err := decorate(s, reflect.ValueOf(*config.Default()), false); err != nil {
		return nil, err
	}
	return s, nil
}

func schemaJSON(s *jsonschema.Schema) ([]byte, error) {
	out, err := json.MarshalIndent(s, "", "  ")
	return append(out, '\n'), err
}

// fromEnv matches a text that becomes a value by expansion.
var fromEnv = &jsonschema.Schema{Type: "string", Pattern: `\$\{`}

// decorate gives the properties of a struct's schema what reflection does not
// know. v holds the defaults.
func decorate(s *jsonschema.Schema, v reflect.Value, restart bool) error {
	t := v.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("yaml")
		if name == "" {
			continue
		}
		p, ok := s.Properties.Get(name)
		if !ok || p.Description == "" {
			return fmt.Errorf("%s.%s has no doc comment", t.Name(), f.Name)
		}
		needsRestart := restart || f.Tag.Get("restart") != ""
		if err := property(p, v.Field(i), strings.Split(f.Tag.Get("validate"), ","), needsRestart); err != nil {
			return fmt.Errorf("%s.%s: %w", t.Name(), f.Name, err)
		}
		if needsRestart {
			p.Extras = map[string]any{"x-restart": true}
		}
	}
	return nil
}

func property(p *jsonschema.Schema, v reflect.Value, rules []string, restart bool) error {
	if _, text := v.Interface().(encoding.TextMarshaler); !text {
		switch v.Kind() {
		case reflect.Struct:
			return decorate(p, v, restart)
		case reflect.Slice:
			return list(p, v, rules, restart)
		case reflect.Map:
			return free(p, v, rules, restart)
		}
	}
	scalar(p, v.Type(), rules)
	p.Default = plain(v)
	return nil
}

// start holds the defaults of list elements and map values.
func start(t reflect.Type) reflect.Value {
	switch t {
	case reflect.TypeFor[config.Project]():
		return reflect.ValueOf(config.DefaultProject())
	case reflect.TypeFor[config.Upstream]():
		return reflect.ValueOf(config.DefaultUpstream())
	case reflect.TypeFor[config.Output]():
		return reflect.ValueOf(config.DefaultOutput())
	case reflect.TypeFor[config.ScrubRule]():
		return reflect.ValueOf(config.DefaultScrubRule())
	}
	return reflect.Zero(t)
}

func list(p *jsonschema.Schema, v reflect.Value, rules []string, restart bool) error {
	own, each, _ := dive(rules)
	bound(p, own, func(low, high *uint64) { p.MinItems, p.MaxItems = low, high })
	elem := v.Type().Elem()
	if elem.Kind() == reflect.Struct {
		if err := decorate(p.Items, start(elem), restart); err != nil {
			return err
		}
		p.Items.Description = ""
		switch elem {
		case reflect.TypeFor[config.Project]():
		case reflect.TypeFor[config.Output]():
			p.Default = []any{map[string]any{"type": "stdout"}}
		default:
			p.Default = []any{}
		}
		return nil
	}
	scalar(p.Items, elem, each)
	values := []any{}
	for i := range v.Len() {
		values = append(values, plain(v.Index(i)))
	}
	p.Default = values
	return nil
}

// free is a mapping whose keys the operator chooses.
func free(p *jsonschema.Schema, v reflect.Value, rules []string, restart bool) error {
	own, each, keys := dive(rules)
	bound(p, own, func(_, high *uint64) { p.MaxProperties = high })
	p.PropertyNames = &jsonschema.Schema{}
	scalar(p.PropertyNames, v.Type().Key(), keys)
	if len(p.PropertyNames.AnyOf) > 0 {
		p.PropertyNames = p.PropertyNames.AnyOf[0] // keys are not expanded
	}
	p.Default = map[string]any{}
	p.AdditionalProperties.Description = "" // of the type: the field says more
	return property(p.AdditionalProperties, start(v.Type().Elem()), each, restart)
}

// dive splits rules: for the list itself, for its elements, for a map's keys.
func dive(rules []string) (own, each, keys []string) {
	into := &own
	for _, r := range rules {
		switch r {
		case "dive", "endkeys":
			into = &each
		case "keys":
			into = &keys
		default:
			*into = append(*into, r)
		}
	}
	return own, each, keys
}

func bound(p *jsonschema.Schema, rules []string, set func(low, high *uint64)) {
	var low, high *uint64
	for _, r := range rules {
		name, param, _ := strings.Cut(r, "=")
		n, err := strconv.ParseUint(param, 10, 64)
		switch {
		case err != nil:
		case name == "min":
			low = &n
		case name == "max":
			high = &n
		}
	}
	set(low, high)
}

// scalar says how one word is written, and that it may come from the
// environment.
func scalar(p *jsonschema.Schema, t reflect.Type, rules []string) {
	text := &jsonschema.Schema{Type: "string"}
	ways := []*jsonschema.Schema{text}
	closed := false // not every text is right
	kind := strings.ToLower(t.Name())
	switch t {
	case reflect.TypeFor[config.Size]():
		ways = append(ways, &jsonschema.Schema{Type: "integer", Minimum: "0"})
	case reflect.TypeFor[config.Share]():
		ways = append(ways, &jsonschema.Schema{Type: "number", Minimum: "0", Maximum: "1"})
	case reflect.TypeFor[config.Duration](), reflect.TypeFor[config.Rate](), reflect.TypeFor[config.Quota]():
	default:
		switch t.Kind() {
		case reflect.Bool, reflect.Int, reflect.Uint64:
			n := &jsonschema.Schema{Type: p.Type}
			for _, r := range rules {
				switch name, param, _ := strings.Cut(r, "="); name {
				case "min":
					n.Minimum = json.Number(param)
				case "max":
					n.Maximum = json.Number(param)
				}
			}
			ways, closed = []*jsonschema.Schema{n}, true
		}
		kind = ""
	}
	if pattern, _ := config.Vocabulary(kind); pattern != "" {
		text.Pattern, closed = pattern, true
	}
	optional := false
	for _, r := range rules {
		name, param, _ := strings.Cut(r, "=")
		pattern, known := config.Vocabulary(name)
		switch {
		case name == "omitempty":
			optional = true
		case name == "oneof":
			known = strings.Fields(param)
		case name == "between":
			low, high := config.Bounds(param)
			p.Description += " From " + low + " to " + high + "."
		case pattern != "":
			text.Pattern, closed = pattern, true
		}
		for _, word := range known {
			text.Enum, closed = append(text.Enum, word), true
		}
	}
	p.Type, p.Properties, p.AdditionalProperties = "", nil, nil
	if !closed {
		p.Type = "string"
		return
	}
	if optional {
		zero := uint64(0)
		ways = append(ways, &jsonschema.Schema{Type: "string", MaxLength: &zero})
	}
	p.AnyOf = append(ways, fromEnv)
}

// plain is a default as JSON has it.
func plain(v reflect.Value) any {
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		if v.IsZero() && v.Kind() == reflect.Struct {
			return nil
		}
		text, err := m.MarshalText()
		if err == nil {
			return string(text)
		}
	}
	return v.Interface()
}
