package config

import (
	"strings"

	"breakwater/schemas"
)

// Vocabulary is what a validator tag, or a value type by its lower-case name,
// allows: a pattern, a closed list of words, or neither, when the rule cannot
// be said that way. The JSON Schema is made from it.
func Vocabulary(tag string) (pattern string, known []string) {
	switch tag {
	case "size":
		return sizePattern, nil
	case "duration":
		return durationPattern, nil
	case "rate":
		return ratePattern, nil
	case "quota":
		return quotaPattern, nil
	case "share":
		return sharePattern, nil
	case "category":
		return "", limitable()
	case "legacybrowser":
		return "", legacyBrowsers
	case "facility":
		return "", facilities
	}
	return patterns[tag], nil
}

// limitable are the categories that may have a limit.
func limitable() []string {
	var names []string
	for _, c := range schemas.Categories {
		if c != schemas.CategoryInternal && c != schemas.CategoryUnknown && c != schemas.CategoryDefault {
			names = append(names, string(c))
		}
	}
	return names
}

// Bounds reads the parameter of the tag between: its lowest and highest value.
func Bounds(param string) (low, high string) {
	low, high, _ = strings.Cut(param, " ")
	return low, high
}
