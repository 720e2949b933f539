package schemas

import (
	"testing"
)

func TestAddTags(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"absent", `{"a":1}`, `{"a":1,"tags":{"gateway.project":"shop"}}`},
		{"null", `{"tags":null,"a":1}`, `{"tags":{"gateway.project":"shop"},"a":1}`},
		{"of another kind", `{"tags":"x"}`, `{"tags":{"gateway.project":"shop"}}`},
		{"empty object", `{"tags":{}}`, `{"tags":{"gateway.project":"shop"}}`},
		{"object", `{"tags":{ "a" : 9223372036854775809 }}`, `{"tags":{ "a" : 9223372036854775809,"gateway.project":"shop" }}`},
		{"object with the key", `{"tags":{"gateway.project":"forged","a":"b"}}`, `{"tags":{"gateway.project":"shop","a":"b"}}`},
		{"empty array", `{"tags":[]}`, `{"tags":[["gateway.project","shop"]]}`},
		{"pairs", `{"tags":[["a", "b"]]}`, `{"tags":[["a", "b"],["gateway.project","shop"]]}`},
		{"pairs with the key", `{"tags":[["gateway.project","forged"],["a","b"],null]}`, `{"tags":[["a","b"],null,["gateway.project","shop"]]}`},
		{
			"key and value objects", `{"tags":[{"key":"a","value":"b"},{"value":"forged","key":"gateway.project"}]}`,
			`{"tags":[{"key":"a","value":"b"},{"key":"gateway.project","value":"shop"}]}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := event(t, tt.in)
			e.AddTags("gateway.project", "shop")
			if got := string(e.Bytes()); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if v, ok := e.Tag("gateway.project"); !ok || v != "shop" {
				t.Errorf("tag reads %q, %v", v, ok)
			}
		})
	}
	e := event(t, `{"tags":[["n",1],["n",2],["b",true],["z",null]]}`)
	for key, want := range map[string]string{"n": "1", "b": "true", "z": "", "absent": ""} {
		if got, ok := e.Tag(key); got != want || ok != (want != "") {
			t.Errorf("%s: %q, %v", key, got, ok)
		}
	}
}
