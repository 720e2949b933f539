package scrub

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"sort"
	"strings"
	"testing"
)

// A canary is a text no scrubbed payload may hold any more: planted says how it
// stands in a field, secret is what must be gone.
type canary struct {
	kind    string
	rule    ruleID
	planted string
	secret  string
	// member plants a whole member "key": value into every object instead.
	member string
}

func canaries() []canary {
	return []canary{
		{kind: "visa", rule: ruleCreditcard, planted: "4532015112830366"},
		{kind: "visa in groups", rule: ruleCreditcard, planted: "4532-0151-1283-0366"},
		{kind: "mastercard", rule: ruleCreditcard, planted: "5425233430109903"},
		{kind: "amex", rule: ruleCreditcard, planted: "3714 496353 98431"},
		{kind: "discover", rule: ruleCreditcard, planted: "6011000990139424"},
		{kind: "iban", rule: ruleIBAN, planted: "GB33BUKB20201555555555"},
		{kind: "printed iban", rule: ruleIBAN, planted: "DE75 5121 0800 1245 1261 99"},
		{kind: "pem", rule: rulePEM, planted: "-----BEGIN PRIVATE KEY-----\nCNRYpemMIIE\n-----END PRIVATE KEY-----", secret: "CNRYpem"},
		{kind: "url password", rule: ruleURLAuth, planted: "amqp://svc:CNRYurl@mq/vh", secret: "CNRYurl"},
		{kind: "mac path", rule: ruleUserpath, planted: "/Users/CNRYmac/x", secret: "CNRYmac"},
		{kind: "linux path", rule: ruleUserpath, planted: "/home/CNRYlinux/x", secret: "CNRYlinux"},
		{kind: "windows path", rule: ruleUserpath, planted: `C:\Users\CNRYwin\x`, secret: "CNRYwin"},
		{kind: "password in words", rule: rulePassword, planted: "the password is CNRYwords", secret: "CNRYwords"},
		{kind: "password assigned", rule: rulePassword, planted: "password=CNRYassigned", secret: "CNRYassigned"},
		{kind: "query parameter", rule: rulePassword, planted: "https://h.example/p?a=1&access_token=CNRYquery&b=2", secret: "CNRYquery"},
		{kind: "ssn", rule: ruleSSN, planted: "219-09-9999"},
		{kind: "bearer", rule: ruleBearer, planted: "Bearer CNRYbearer.tok", secret: "CNRYbearer"},
		{kind: "ipv4", rule: ruleIP, planted: "198.51.100.23"},
		{kind: "ipv6", rule: ruleIP, planted: "2001:db8:77::1f"},
		{kind: "email", rule: ruleEmail, planted: "cnry.mail@example.org"},
		{kind: "own rule", rule: builtinRules, planted: "CUST-904412"},
		{kind: "password key", rule: rulePassword, member: `"db_Password":"CNRYkey"`, secret: "CNRYkey"},
		{kind: "secret number", rule: rulePassword, member: `"pin_secret":778899001122`, secret: "778899001122"},
		{kind: "secret object", rule: rulePassword, member: `"credentials":{"a":["CNRYobject"]}`, secret: "CNRYobject"},
		{kind: "pair", rule: rulePassword, member: `"list":[["db_secret","CNRYpair"]]`, secret: "CNRYpair"},
		{kind: "key and value", rule: rulePassword, member: `"list":[{"value":"CNRYkv","key":"apiKey"}]`, secret: "CNRYkv"},
		{kind: "cookie", rule: ruleCookies, member: `"cookies":{"sessionid":"CNRYjar"}`, secret: "CNRYjar"},
		{kind: "cookie header", rule: ruleCookies, member: `"Cookie":"a=b; csrf=CNRYcookie"`, secret: "CNRYcookie"},
		{kind: "field", rule: ruleFields, member: `"Internal_Code_2":"CNRYfield"`, secret: "CNRYfield"},
		{kind: "email as key", rule: ruleEmail, member: `"cnry.mail@example.org":1`, secret: "cnry.mail@example.org"},
		{kind: "address as key", rule: ruleIP, member: `"198.51.100.23":1`, secret: "198.51.100.23"},
		{kind: "card as key", rule: ruleCreditcard, member: `"4532015112830366":1`, secret: "4532015112830366"},
	}
}

// The documented exemptions, by path without list positions. kept holds for
// every rule; notWords (sentences, routes, device facts) only for rules that
// take whole values or paths.
var (
	keptPaths = regexp.MustCompile(strings.Join([]string{
		`^(event_id|type|platform|level|release|dist|environment|timestamp|start_timestamp|replay_id|segment_id|replay_type|replay_start_timestamp|trace_id|span_id|parent_span_id|status|op|origin|is_segment|version|profile_id|profiler_id|chunk_id)$`,
		`^(fingerprint|modules|debug_meta|measurements|error_ids|trace_ids|transaction_info|client_sdk)(\.|$)`,
		`^sdk\.(name|version|packages|integrations|features|settings)`, `^sdk$`,
		`^sdk\.[^.]+(\..*)?$`, // what SDKs say of themselves
		`(^|\.)frames\.(filename|abs_path|function|raw_function|module|package|platform|instruction_addr|addr_mode|image_addr|symbol_addr)$`,
		`^exception(\.values)?\.(type|value|module|thread_id)$`, `^exception\.values\.mechanism\.(type|source)$`, `^threads\.values\.(id|state)$`,
		`^request\.headers\.User-Agent$`, `^request\.method$`,
		`^contexts\.(trace|replay|profile)\.(trace_id|span_id|parent_span_id|op|status|origin|type|replay_id|profiler_id)$`,
		`^contexts\.app\.app_start_time$`, `^contexts\.device\.boot_time$`,
		`^contexts\.feedback\.(source|replay_id|associated_event_id)$`,
		`^breadcrumbs(\.values)?\.(type|level|timestamp|event_id)$`,
		`^spans\.(trace_id|span_id|parent_span_id|segment_id|op|status|origin|timestamp|start_timestamp|profile_id)$`,
		`^(spans\.|items\.)?(data|attributes|contexts\.trace\.data)\.(sentry\.(release|environment|op|origin|source|span\.source|sdk\.name|sdk\.version|segment\.id|profiler_id|trace_lifecycle|replay_id|pageload\.span_id)|release|environment|replay_id|profile_id|http\.method|http\.request\.method|db\.system)(\.value)?$`,
		`^contexts\.trace\.data\.(sentry\.(op|origin|source|release|environment)|release|environment)$`,
		`^spans\.(measurements|data\.sentry\.\w+)`,
		`^items\.(trace_id|span_id|parent_span_id|status|level|type|unit|timestamp|severity_text)$`, `^items\.(links\.)?attributes\..+\.(type|unit)$`, `^items\.links\.(trace_id|span_id)$`,
		`^(sid|did_|init|started|abnormal_mechanism)$`, `^attrs\.(release|environment)$`, `^(ingest_settings|ingest_settings\..*)$`,
		`^profile\.(samples|stacks|queue_metadata)`, `^(aggregates\.started)$`,
		`^data\.tag$`, `^data\.payload\.(type|level|op|timestamp)$`, // of recordings
		`^check_in_id$|^monitor_slug$|^monitor_config`,
	}, "|"))
	headerPaths   = regexp.MustCompile(`^(event_id|sent_at|dsn|type|length|content_type|attachment_type|item_count|platform|sampled|release|environment|sdk(\..*)?|trace\.(trace_id|public_key|release|environment|sample_rate|sample_rand|sampled|replay_id|org_id))$`)
	notWordsPaths = regexp.MustCompile(strings.Join([]string{
		`^(message|logentry)(\.|$)`, `^(transaction|culprit|logger|comments|name|email|transaction_name)$`, `^request\.url$`, `(^|\.)items\.(body|name)$`,
		`^contexts\.(os|device|app|browser|runtime|gpu|culture|react)\.`, `^contexts\.feedback\.(message|url)$`, `^contexts\.flags\.values\.flag$`,
		`^breadcrumbs(\.values)?\.category$`, `^threads\.values\.name$`, `frames\.(context_line|pre_context|post_context)$`,
		`(data|attributes)\.(user_agent\.original|http\.user_agent|(browser|os|app)\.version|sentry\.(segment\.name|transaction|message\.template)|transaction|thread\.name|gen_ai\.\w+|mcp\.[\w.]+|code\.[\w.]+|ui\.component_name)(\.value)?$`,
		`^attrs\.user_agent$`, `^did$`, `^data\.payload\.category$`, `^profile\.thread_metadata\.[^.]+\.name$`, `^trace\.transaction$`, `^filename$`,
		`^(device|os|runtime|transaction|transactions)\.`, `^(discarded|rate_limited|filtered|filtered_sampling)_events\.(reason|category)$`,
	}, "|"))
	pagePaths  = regexp.MustCompile(`^(data($|\.)|href)`) // what a recording shows of a page
	agentPaths = regexp.MustCompile(`(?i)(user_agent(\.original)?|version|build|raw_description)(\.value)?$`)
)

// exempt tells whether a canary may stay at a path.
func (c canary) exempt(s sample, path string) bool {
	if s.typ == "(header)" || s.typ == "(item)" {
		return headerPaths.MatchString(path) || c.onlyFree() && notWordsPaths.MatchString(path)
	}
	if keptPaths.MatchString(path) {
		return true
	}
	if c.onlyFree() && (notWordsPaths.MatchString(path) || s.typ == "replay_recording" && pagePaths.MatchString(path) && !strings.HasPrefix(path, "data.payload")) {
		return true
	}
	return c.rule == ruleIP && agentPaths.MatchString(path)
}

// onlyFree are the kinds that sentences and routes keep.
func (c canary) onlyFree() bool {
	return c.kind == "password in words" || c.kind == "password assigned" || c.rule == ruleUserpath
}

// TestCanaries plants every kind of personal data and secret into every string
// of every captured item, and into every object, and looks for what is left.
func TestCanaries(t *testing.T) {
	r := canaryRules(t)
	samples := plantable(t)
	for _, c := range canaries() {
		t.Run(c.kind, func(t *testing.T) {
			if leaks := plant(t, r, c, samples); len(leaks) > 0 {
				t.Errorf("%d places keep it:\n%s", len(leaks), strings.Join(leaks[:min(len(leaks), 30)], "\n"))
			}
		})
	}
}

// TestCanariesNeedEveryRule takes one rule away at a time: the canaries must notice.
func TestCanariesNeedEveryRule(t *testing.T) {
	samples := plantable(t)
	for rule := ruleID(0); rule <= builtinRules; rule++ {
		r := canaryRules(t)
		t.Run(r.names[rule], func(t *testing.T) {
			if rule == builtinRules {
				r.custom, r.everywhere = nil, false
			} else {
				r.off[rule] = true
			}
			for _, c := range canaries() {
				if c.rule == rule && len(plant(t, r, c, samples)) > 0 {
					return
				}
			}
			t.Fatal("without this rule nothing leaks: no canary tests it")
		})
	}
}

// TestKeptFieldsStay plants one text that every rule would hit into every
// string: in the kept fields, which grouping and symbolication need, it must
// stand afterwards as it did before.
func TestKeptFieldsStay(t *testing.T) {
	const text = "4532015112830366 cnry@example.org password=1 /Users/jane/ 198.51.100.23 219-09-9999 Bearer x //a:b@c"
	r := canaryRules(t)
	checked := map[string]bool{}
	for _, s := range plantable(t) {
		if s.typ == "(header)" || s.typ == "(item)" {
			continue
		}
		planted := planting(s.doc, canary{planted: text}, "%[2]s %[1]s")
		keptValues := func(doc any) map[string][]string {
			m := map[string][]string{}
			walkStrings(doc, "", func(path, value string) {
				if keptPaths.MatchString(path) && !strings.Contains(path, "infer_ip") {
					m[path] = append(m[path], value)
				}
			})
			for _, values := range m {
				sort.Strings(values)
			}
			return m
		}
		var after any
		dec := json.NewDecoder(bytes.NewReader(scrubSample(t, r, s, marshal(t, planted))))
		dec.UseNumber()
		if err := dec.Decode(&after); err != nil {
			t.Fatal(err)
		}
		was, is := keptValues(planted), keptValues(after)
		for path, values := range was {
			checked[path] = true
			if fmt.Sprint(values) != fmt.Sprint(is[path]) {
				t.Errorf("%s %s: %q became %q", s.typ, path, values, is[path])
			}
		}
	}
	for _, path := range []string{
		"exception.values.type", "exception.values.value", "exception.values.stacktrace.frames.filename",
		"exception.values.stacktrace.frames.function", "release", "platform", "request.headers.User-Agent",
	} {
		if !checked[path] {
			t.Errorf("no captured item has %s", path)
		}
	}
}

func canaryRules(tb testing.TB) *Rules {
	c := everything()
	c.Fields = []string{"internal_code"}
	c.Rules = []Rule{{Name: "customer", Pattern: `CUST-\d{6}`}}
	return mustCompile(tb, c)
}
