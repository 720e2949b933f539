package config

import (
	"fmt"
	"strings"
)

// Lookup asks the environment for a variable; os.LookupEnv is one.
type Lookup func(name string) (value string, ok bool)

// mistake says why a text cannot be used, and what to do.
type mistake struct{ reason, fix string }

// maxValueSize bounds one text after expansion.
const maxValueSize = 64 << 10

// expand replaces ${NAME} by the variable's value, and ${NAME:-text} by text
// when the variable is missing or empty. $${ stands for ${ itself. A missing
// variable without a default is an error, because an empty key or address
// would only fail later and further away. It returns the names it used.
func expand(in string, env Lookup) (out string, used []string, wrong *mistake) {
	var b strings.Builder
	for {
		at := strings.Index(in, "${")
		if at < 0 {
			b.WriteString(in)
			break
		}
		if at > 0 && in[at-1] == '$' {
			b.WriteString(in[:at-1] + "${")
			in = in[at+2:]
			continue
		}
		b.WriteString(in[:at])
		inner, rest, closed := strings.Cut(in[at+2:], "}")
		if !closed {
			return "", used, &mistake{"holds ${ without }", "close it, or write $${ for the characters themselves"}
		}
		name, fallback, hasDefault := strings.Cut(inner, ":-")
		if !isVariable(name) {
			return "", used, &mistake{"holds ${…} without the name of a variable", "write ${NAME} or ${NAME:-default}; write $${ for the characters themselves"}
		}
		used = append(used, name)
		value, ok := env(name)
		switch {
		case hasDefault && value == "":
			value = fallback
		case !ok:
			return "", used, &mistake{"environment variable " + name + " is not set", fmt.Sprintf("set %s, or give a default: ${%s:-…}", name, name)}
		}
		b.WriteString(value)
		in = rest
		if b.Len() > maxValueSize {
			break
		}
	}
	if b.Len() > maxValueSize {
		return "", used, &mistake{fmt.Sprintf("is longer than %d bytes", maxValueSize), "shorten it"}
	}
	return b.String(), used, nil
}

func isVariable(name string) bool {
	for i, r := range name {
		if r != '_' && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return name != "" && len(name) <= 128
}
