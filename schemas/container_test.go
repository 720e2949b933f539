package schemas

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

func TestContainers(t *testing.T) {
	n := 0
	for _, f := range fixtures(t) {
		if !f.isEnvelope() {
			continue
		}
		env, err := readAll(bytes.NewReader(f.body(t)))
		if err != nil {
			t.Fatal(err)
		}
		for i := range env.Items {
			h := env.Items[i].Header
			if !h.IsContainer() {
				continue
			}
			n++
			payload, _ := env.Items[i].InMemory()
			c, err := ParseContainer(payload)
			if err != nil {
				t.Fatalf("%s: %v", f.ID, err)
			}
			count, ok := h.ItemCount()
			if !ok || count != len(c.Items) {
				t.Fatalf("%s: %d items, header says %d", f.ID, len(c.Items), count)
			}
			if !bytes.Equal(c.Bytes(), payload) {
				t.Errorf("%s: changed without an edit", f.ID)
			}
			var full struct{ Items []json.RawMessage }
			if err := json.Unmarshal(payload, &full); err != nil {
				t.Fatal(err)
			}
			for j := range full.Items {
				if !bytes.Equal(full.Items[j], c.Items[j]) {
					t.Errorf("%s: member %d differs", f.ID, j)
				}
			}
			first := string(c.Items[0])
			c.Items = append(c.Items[:0:0], c.Items[1:]...)
			c.Save()
			h.SetItemCount(len(c.Items))
			again, err := ParseContainer(c.Bytes())
			if got, ok := h.ItemCount(); err != nil || !ok || got != count-1 || len(again.Items) != count-1 || strings.Contains(string(c.Bytes()), first) {
				t.Errorf("%s: after removing one: %v", f.ID, err)
			}
		}
	}
	if n == 0 {
		t.Error("no container among the fixtures")
	}
	for _, bad := range []string{`{}`, `{"items":{}}`, `{"items":null}`, `[]`, `{"items":[`} {
		if _, err := ParseContainer([]byte(bad)); err == nil {
			t.Errorf("%s is no container", bad)
		}
	}
	for _, bad := range []string{`"3"`, `-1`, `1.5`, `null`, `99999999999`} {
		h := NewItemHeader("log")
		h.Set("item_count", jsontext.Value(bad))
		if n, ok := h.ItemCount(); ok {
			t.Errorf("item_count %s reads %d", bad, n)
		}
	}
}
