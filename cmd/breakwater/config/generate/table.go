package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/invopop/jsonschema"
)

// markdownTable renders a schema as the README's table: key, default, what.
func markdownTable(s *jsonschema.Schema) string {
	var b strings.Builder
	b.WriteString("| key | default | what |\n|---|---|---|\n")
	rows(&b, "", s)
	b.WriteString("\n¹ A change needs a restart; a reload keeps the running value and says so.\n")
	return b.String()
}

func rows(b *strings.Builder, prefix string, s *jsonschema.Schema) {
	for pair := s.Properties.Oldest(); pair != nil; pair = pair.Next() {
		key, p := prefix+pair.Key, pair.Value
		switch {
		case p.Properties != nil:
			rows(b, key+".", p)
		case p.Items != nil && p.Items.Properties != nil:
			row(b, key+"[]", p)
			rows(b, key+"[].", p.Items)
		case p.AdditionalProperties != nil && p.AdditionalProperties.Properties != nil:
			row(b, key+".<name>", p)
			rows(b, key+".<name>.", p.AdditionalProperties)
		case p.AdditionalProperties != nil && p.PropertyNames != nil:
			row(b, key+".<name>", p)
		default:
			row(b, key, p)
		}
	}
}

func row(b *strings.Builder, key string, p *jsonschema.Schema) {
	def := ""
	if p.Default != nil {
		raw, err := json.Marshal(p.Default)
		if err == nil {
			def = "`" + strings.Trim(string(raw), `"`) + "`"
		}
		if def == "``" {
			def = "`\"\"`"
		}
	}
	mark := ""
	if p.Extras["x-restart"] != nil {
		mark = "¹"
	}
	fmt.Fprintf(b, "| `%s`%s | %s | %s |\n", key, mark, def, strings.ReplaceAll(p.Description, "|", `\|`))
}
