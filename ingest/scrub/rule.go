package scrub

// ruleID is a rule's place in the closed list; custom rules follow after it.
type ruleID int

const (
	ruleCreditcard ruleID = iota
	ruleIBAN
	rulePEM
	ruleURLAuth
	ruleUserpath
	rulePassword
	ruleSSN
	ruleBearer
	ruleCookies
	ruleFields
	ruleIP
	ruleEmail
	builtinRules
)

// RuleNames is the closed list of built-in rules, as the metric's label and as
// Hit.Rule show them. Names of Config.Rules follow it per project.
var RuleNames = []string{
	"creditcard", "iban", "pemkey", "urlauth", "userpath", "password", "usssn", "bearer",
	"cookies", "fields", "ip", "email",
}

// How a found piece is written: Sentry's texts and the rule ids of its _meta
// remarks. filter is for free fields, replace for sentences.
var (
	filterIDs = [builtinRules]string{
		"@creditcard:filter", "@iban:filter", "@pemkey:filter", "@urlauth:legacy", "@userpath:filter", "@password:filter",
		"@usssn:filter", "@password:filter", "@anything:filter", "strip-fields", "@ip:replace", "@email:replace",
	}
	replaceIDs = [builtinRules]string{
		"@creditcard:replace", "@iban:replace", "@pemkey:replace", "@urlauth:legacy", "@userpath:replace", "@password:filter",
		"@usssn:replace", "@bearer:replace", "@anything:filter", "strip-fields", "@ip:replace", "@email:replace",
	}
	filterTexts = [builtinRules]string{
		filtered, filtered, filtered, filtered, filtered, filtered, filtered, filtered, filtered, filtered, "[ip]", "[email]",
	}
	replaceTexts = [builtinRules]string{
		"[creditcard]", "[iban]", "[pemkey]", filtered, "[user]", filtered, "[us-ssn]", "Bearer [token]", filtered, filtered, "[ip]", "[email]",
	}
)

const (
	filtered = "[Filtered]"
	// removeID is the remark of a field that is removed whatever it holds.
	removeID = "@anything:remove"
)

// The kinds of a _meta remark (develop.sentry.dev, "Payloads: _meta").
const (
	kindRemoved    = 'x'
	kindSubstitute = 's'
	kindMasked     = 'm'
	kindHashed     = 'p'
)

// match is one piece of a string that has to go: its bytes, what stands
// instead, and who says so.
type match struct {
	start, end int
	text       string
	rule       ruleID
	id         string
	kind       byte
}

// already tells whether a piece was replaced before: a second run changes nothing.
func already(s []byte) bool {
	switch string(s) {
	case filtered, "[user]", "[pemkey]", "[auth]", "[token]", "[password]", "[email]", "[ip]", "[creditcard]", "[iban]", "[us-ssn]":
		return true
	}
	return false
}
