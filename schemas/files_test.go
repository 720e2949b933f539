package schemas

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// published compiles a schema as a stranger would get it.
func published(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	raw, err := Files.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(name, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, ex := range doc.(map[string]any)["examples"].([]any) {
		if err := s.Validate(ex); err != nil {
			t.Errorf("the example of %s: %v", name, err)
		}
	}
	return s
}

// TestSchemasAgreeWithDecoders: what the published schema accepts the decoder
// takes without a complaint, and what it refuses the decoder complains about.
func TestSchemasAgreeWithDecoders(t *testing.T) {
	decoders := map[string]func([]byte) bool{
		"beacon": func(body []byte) bool {
			b, rejected, err := DecodeBeacon(body, "application/json", nil)
			if err != nil || len(rejected) > 0 || len(b.Ignored) > 0 || len(b.Vitals) == 0 {
				return false
			}
			for _, v := range b.Vitals {
				if !KnownVital(v.Name) || !v.HasValue {
					return false
				}
			}
			return true
		},
		"crash": func(body []byte) bool {
			c, err := DecodeCrash(body)
			return err == nil && len(c.Rejected) == 0 && len(c.Reports) > 0
		},
	}
	for kind, decode := range decoders {
		schema := published(t, kind+".schema.json")
		for _, verdict := range []string{"valid", "invalid"} {
			files, err := filepath.Glob(filepath.Join("testdata", kind, verdict, "*.json"))
			if err != nil || len(files) < 8 {
				t.Fatalf("%d samples, %v", len(files), err)
			}
			for _, file := range files {
				t.Run(kind+"/"+verdict+"/"+strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
					body, err := os.ReadFile(file)
					if err != nil {
						t.Fatal(err)
					}
					doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
					if err != nil {
						t.Fatal(err)
					}
					want := verdict == "valid"
					if err := schema.Validate(doc); (err == nil) != want {
						t.Errorf("schema says %v", err)
					}
					if got := decode(body); got != want {
						t.Errorf("decoder says %v", got)
					}
				})
			}
		}
	}
}
